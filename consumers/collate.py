"""Examples stacked into one batch, padded no further than its texts need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from consumers.example import Example
from consumers.length_buckets import LengthBuckets

if TYPE_CHECKING:
    import torch


class Batch(NamedTuple):
    """n pairs; a tuple, so that a DataLoader can pin its tensors."""

    pair_ids: list[str]
    texts: list[str]
    tokens: torch.Tensor
    """(n, bucket) int64, padded at the end."""
    mask: torch.Tensor
    """(n, bucket) bool: true where there is a token, false where there is padding."""
    pixels: torch.Tensor
    """(n, 3, height, width) uint8; `Letterbox.normalised` makes them the model's, on its device."""


@dataclass(frozen=True, slots=True)
class Collate:
    """Makes a batch of examples: a DataLoader's `collate_fn`."""

    buckets: LengthBuckets
    pad_id: int

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """Raises ValueError where a text is longer than the longest bucket."""
        import torch

        length = self.buckets.up(max(len(each.tokens) for each in examples))
        tokens = torch.full((len(examples), length), self.pad_id)
        mask = torch.zeros(len(examples), length, dtype=torch.bool)
        for row, example in enumerate(examples):
            tokens[row, : len(example.tokens)] = torch.tensor(example.tokens)
            mask[row, : len(example.tokens)] = True
        return Batch(
            [each.pair_id for each in examples],
            [each.text for each in examples],
            tokens,
            mask,
            torch.stack([each.pixels for each in examples]),
        )
