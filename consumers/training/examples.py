"""From samples to a training batch: one text as tokens and the image as pixels."""

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
    """A stored image cannot be decoded. The message names its pair."""


class Worded(NamedTuple):
    """A sample with its text of this epoch. The image is not decoded yet, so it is small."""

    sample: Sample
    text: str
    language: str | None
    """The text's language, BCP 47; None where it is not known."""
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
    """Makes examples of samples; in one epoch the same ones in every process."""

    tokens: TextTokens
    transform: ImageTransform
    mixing: CaptionMixing = field(default_factory=CaptionMixing)

    def worded(self, sample: Sample, epoch: int) -> Worded:
        """Choose the text of this epoch and make it tokens."""
        pair = sample.pair
        caption = self.mixing.caption(pair, epoch)
        original = caption.kind is CaptionKind.ORIGINAL
        language = pair.detected_language or pair.language if original else None
        if caption.source is not None:
            language = caption.source.language
        text = self.mixing.text_of(caption)
        return Worded(sample, text, language, self.tokens(text), epoch)

    def example(self, worded: Worded) -> Example:
        """Decode the image and make it pixels. Raises DamagedImage."""
        pair, text = worded.sample.pair, worded.text
        try:
            image = worded.sample.decode()
        # Pillow raises these for damaged files.
        except (OSError, SyntaxError, ValueError) as error:
            raise DamagedImage(f"image of {pair.pair_id}: {error}") from error
        pixels = self.transform.pixels(
            image, pair, text, language=worded.language, epoch=worded.epoch
        )
        return Example(pair.pair_id, text, worded.tokens, pixels)


class TrainingBatch(NamedTuple):
    """n pairs. It is a tuple, so that a DataLoader can pin its tensors."""

    pair_ids: list[str]
    texts: list[str]
    tokens: torch.Tensor
    """(n, bucket) int64, padded at the end."""
    mask: torch.Tensor
    """(n, bucket) bool: True for tokens, False for padding."""
    pixels: torch.Tensor
    """(n, 3, height, width) uint8. `Letterbox.normalised` makes them the model's input."""


@dataclass(frozen=True, slots=True)
class Collate:
    """Makes a batch of examples. It can be a DataLoader's `collate_fn`."""

    buckets: LengthBuckets
    pad_id: int

    def __call__(self, examples: Sequence[Example]) -> TrainingBatch:
        """Return the batch. Raises ValueError for a text longer than the longest bucket."""
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
