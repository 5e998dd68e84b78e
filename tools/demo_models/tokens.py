"""Trains the tokenizer of the demo models: byte-level BPE on lower-case alt texts."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from kaption.workers.demo.scenes import random_scene
from tools.demo_models.wording import junk, say

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VOCABULARY = 550
CONTEXT = 77
PAD_ID, START_ID, END_ID = 0, 1, 2


def train_tokenizer(seed: int, texts: int = 20_000) -> PreTrainedTokenizerFast:
    """A tokenizer that puts <start> and <end> around each text, also around a truncated one.

    open_clip takes the embedding at the end token, and BLIP's decoder begins with the start token.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    rng = random.Random(seed)  # noqa: S311 (training data, no secret)
    lines = [say(random_scene(rng), rng).text for _ in range(texts)]
    lines += [junk(rng).text for _ in range(texts // 20)]
    lines += ["appearance: texture: context: full:"] * (texts // 100)
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    special = ["<pad>", "<start>", "<end>"]
    core.train_from_iterator(
        lines,
        BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    core.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>",
        special_tokens=[("<start>", START_ID), ("<end>", END_ID)],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call] # transformers leaves it bare
        tokenizer_object=core,
        **dict(zip(("pad_token", "bos_token", "eos_token"), special, strict=True)),
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
