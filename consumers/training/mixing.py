"""Choosing which of a pair's texts an epoch trains on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from kaption.consumers.stream import draw
from kaption.schemas import Caption, CaptionKind, CleanPair


class Among(StrEnum):
    """How one recaption is chosen among several."""

    UNIFORM = "uniform"
    """Each with the same probability."""
    RANK = "rank"
    """With probabilities in proportion to 1, 1/2, 1/3 ... from the best to the last."""


@dataclass(frozen=True, slots=True)
class CaptionMixing:
    """Chooses one caption of a pair for each epoch, by `seed`, epoch and pair_id alone.

    `recaption` is the probability of a recaption (any kind but `original`) rather than the original
    alt text. 0.8 is the mixing ratio that the authors of Recap-DataComp-1B train with (Li et al.,
    What If We Recaption Billions of Web Images with LLaMA-3?, arXiv 2406.08478, and its project
    page). A pair that has only recaptions, or only the original, always gives that.

    The original is the alt text that selection kept among the captions. An alt text that it left
    out (`clean_text`) fits the image less well. It is used only where `original_min_score`
    is set and the pair's `original_score` reaches it.

    With `fitted` the text is the one that was cut to the scorer's context at a clause boundary, if
    there is one. Set it to False for a model whose context is longer than the scorer's.
    """

    seed: int = 0
    recaption: float = 0.8
    among: Among = Among.UNIFORM
    fitted: bool = True
    original_min_score: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.recaption <= 1:
            raise ValueError(f"recaption is a probability, 0 to 1; got {self.recaption}")

    def caption(self, pair: CleanPair, epoch: int) -> Caption:
        """Return the caption of this epoch."""
        recaptions = [each for each in pair.captions if each.kind is not CaptionKind.ORIGINAL]
        original = self._original(pair)
        side = draw(self.seed, "side", epoch, pair.pair_id)
        if original is not None and not (recaptions and side < self.recaption):
            return original
        return self._among(recaptions, draw(self.seed, "which", epoch, pair.pair_id))

    def text_of(self, caption: Caption) -> str:
        """Return a caption's text, fitted or in full."""
        return (caption.fitted_text if self.fitted else None) or caption.text

    def _original(self, pair: CleanPair) -> Caption | None:
        for caption in pair.captions:
            if caption.kind is CaptionKind.ORIGINAL:
                return caption
        least, score = self.original_min_score, pair.original_score
        if least is None or score is None or score < least or not pair.clean_text:
            return None
        return Caption(text=pair.clean_text, kind=CaptionKind.ORIGINAL, score=score)

    def _among(self, recaptions: Sequence[Caption], chance: float) -> Caption:
        if self.among is Among.UNIFORM:
            return recaptions[int(chance * len(recaptions))]
        weights = [1 / rank for rank in range(1, len(recaptions) + 1)]
        left = chance * sum(weights)
        for caption, weight in zip(recaptions, weights, strict=True):
            left -= weight
            if left < 0:
                return caption
        return recaptions[-1]  # reached only by rounding
