"""Perplexity of captions by a tiny causal language model, trained here on sentences about scenes.

A loop is easy to predict, so a low perplexity alone says little: read it beside the repetition of
`diversity`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from kaption.workers.demo.scenes import describe, random_scene
from tools.demo_models.measure import ASPECTS
from tools.demo_models.tokens import CONTEXT, train_tokenizer
from tools.demo_models.wording import say
from tools.evaluate.figures import Figure, Numbers, resampled
from tools.evaluate.held_out import Kept

SEED = 6_000_000
STEPS = 300
"""Most training steps of the model."""
_BATCH = 64
_IGNORED = -100


@dataclass(frozen=True, slots=True)
class Reader:
    """A causal model of transformers and its tokenizer."""

    model: Any
    tokenizer: Any

    def tokens(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, length) with begin and end marks; longer texts are cut."""
        found: torch.Tensor = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt"
        ).input_ids
        return found

    def losses(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n,): the sum of -log p over the tokens of each text after its begin mark."""
        wanted = tokens[:, 1:].masked_fill(tokens[:, 1:] == self.tokenizer.pad_token_id, _IGNORED)
        logits = self.model(input_ids=tokens[:, :-1]).logits.float()
        each = cross_entropy(
            logits.transpose(1, 2), wanted, ignore_index=_IGNORED, reduction="none"
        )
        return each.sum(1)


def measure(kept: Sequence[Kept], greedy: Sequence[str], steps: int) -> list[Figure]:
    """Perplexity per word of the raw alt texts and the output, also of the recaptioned pairs alone.

    `greedy` holds the greedy captioner's texts for the recaptioned pairs. The model is trained for
    at most `steps`.
    """
    reader = trained(min(steps, STEPS))
    again = [one for one in kept if one.recaptioned]
    return [
        perplexity(name, reader, texts)
        for name, texts in (
            ("raw alt text", [one.pair.text for one in kept]),
            ("output", [one.caption for one in kept]),
            ("recaptioned: raw alt text", [one.pair.text for one in again]),
            ("recaptioned: output", [one.caption for one in again]),
            ("recaptioned: greedy captioner", greedy),
        )
        if texts
    ]


def trained(steps: int) -> Reader:
    """A model of two layers that has read `steps` batches of captions and alt texts."""
    import transformers

    library: Any = transformers
    torch.manual_seed(SEED)
    rng = random.Random(SEED)  # noqa: S311 (training data, no secret)
    tokenizer = train_tokenizer(SEED)
    config = library.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT,
        n_embd=96,
        n_layer=2,
        n_head=3,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    reader = Reader(library.GPT2LMHeadModel(config), tokenizer)
    optimizer = torch.optim.AdamW(reader.model.parameters(), lr=3e-3)
    with sdpa_kernel(SDPBackend.MATH):
        for _ in range(steps):
            tokens = reader.tokens([_sentence(rng) for _ in range(_BATCH)])
            loss = reader.losses(tokens).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss / tokens.shape[1])
            optimizer.step()
    reader.model.eval()
    return reader


@torch.inference_mode()
def perplexity(name: str, reader: Reader, texts: Sequence[str]) -> Figure:
    """exp(all losses / all words): per word, so that it does not depend on the tokens."""
    parts = [texts[at : at + _BATCH] for at in range(0, len(texts), _BATCH)]
    losses = torch.cat([reader.losses(reader.tokens(part)) for part in parts]).numpy()
    words = [max(1, len(text.split())) for text in texts]

    def per_word(drawn: Numbers) -> float:
        loss, count = drawn.sum(0)
        return float(np.exp(loss / count))

    return resampled(f"{name}: perplexity", per_word, np.stack([losses, words], axis=1))


def _sentence(rng: random.Random) -> str:
    scene = random_scene(rng)
    return describe(scene, rng.choice(ASPECTS)) if rng.random() < 0.5 else say(scene, rng).text
