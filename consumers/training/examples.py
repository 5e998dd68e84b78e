"""A sample as training sees it in one epoch: one text as tokens, the image as pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from kaption.consumers.stream import Sample
from kaption.consumers.training.buckets import LengthBuckets
from kaption.consumers.training.images import ImageTransform
from kaption.consumers.training.mixing import CaptionMixing
from kaption.consumers.training.tokens import TextTokens
from kaption.schemas import CaptionKind

if TYPE_CHECKING:
    import torch


class DamagedImage(Exception):
    """A stored image cannot be decoded; the message names its pair."""


class Worded(NamedTuple):
    """A sample with its text of this epoch; the image is still as stored, and small."""

    sample: Sample
    text: str
    language: str | None
    """The text's, BCP 47, where it is known."""
    tokens: list[int]
    epoch: int


class Example(NamedTuple):
    """One text and one image, ready for a batch."""

    pair_id: str
    text: str
    tokens: list[int]
    pixels: torch.Tensor
    """(3, height, width) uint8."""


@dataclass(frozen=True, slots=True)
class ExampleMaker:
    """Makes examples of samples: the same ones for the same epoch, in any process."""

    tokens: TextTokens
    transform: ImageTransform
    mixing: CaptionMixing = field(default_factory=CaptionMixing)

    def worded(self, sample: Sample, epoch: int) -> Worded:
        """Choose the text and make it tokens."""
        pair = sample.pair
        caption = self.mixing.caption(pair, epoch)
        original = caption.kind is CaptionKind.ORIGINAL
        language = pair.detected_language or pair.language if original else None
        text = self.mixing.text_of(caption)
        return Worded(sample, text, language, self.tokens(text), epoch)

    def example(self, worded: Worded) -> Example:
        """Decode the image and make it pixels. Raises DamagedImage."""
        pair, text = worded.sample.pair, worded.text
        try:
            image = worded.sample.decode()
        # What Pillow raises for damaged files, beside OSError.
        except (OSError, SyntaxError, ValueError) as error:
            raise DamagedImage(f"image of {pair.pair_id}: {error}") from error
        pixels = self.transform.pixels(
            image, pair, text, language=worded.language, epoch=worded.epoch
        )
        return Example(pair.pair_id, text, worded.tokens, pixels)


class TrainingBatch(NamedTuple):
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

    def __call__(self, examples: Sequence[Example]) -> TrainingBatch:
        """Raises ValueError where a text is longer than the longest bucket."""
        import torch

        length = self.buckets.up(max(len(each.tokens) for each in examples))
        tokens = torch.full((len(examples), length), self.pad_id)
        mask = torch.zeros(len(examples), length, dtype=torch.bool)
        for row, example in enumerate(examples):
            tokens[row, : len(example.tokens)] = torch.tensor(example.tokens)
            mask[row, : len(example.tokens)] = True
        return TrainingBatch(
            [each.pair_id for each in examples],
            [each.text for each in examples],
            tokens,
            mask,
            torch.stack([each.pixels for each in examples]),
        )
