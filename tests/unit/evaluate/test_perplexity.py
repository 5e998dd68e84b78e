"""Perplexity by a model that was trained for a moment, and by one whose answer is known."""

import math
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

import torch

from tools.demo_models.tokens import train_tokenizer
from tools.evaluate.perplexity import Reader, perplexity, trained

pytestmark = pytest.mark.slow


def test_a_model_that_knows_nothing_gives_each_token_the_same_share() -> None:
    # Given a model that finds all of 8 tokens equally likely
    def flat(input_ids: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, 550))

    tokenizer = train_tokenizer(1, texts=200)
    reader = Reader(flat, tokenizer)
    texts = ["a red star", "on a beach", "a"]
    # When texts of 7 words are read
    found = perplexity("flat", reader, texts)
    # Then each token after the begin mark costs log(550), the end mark too and padding not
    tokens = sum(len(tokenizer(text).input_ids) - 1 for text in texts)
    assert found.value == pytest.approx(math.exp(tokens * math.log(550) / 7), rel=1e-4)


def test_after_some_training_a_caption_is_likelier_than_its_words_in_disorder() -> None:
    reader = trained(30)
    said = perplexity("said", reader, ["a large red star and a small blue ring on a beach"])
    mixed = perplexity("mixed", reader, ["beach star on large blue a and red ring a small a"])
    assert said.value < mixed.value
