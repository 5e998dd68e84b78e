"""Score: measures how well the alt text fits the image, and routes the pair by the score."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from kaption.schemas import Caption, CaptionedPair, CaptionKind, IngestedPair, Route, ScoredPair
from kaption.schemas.topics import CAPTIONED, INGESTED, SCORED
from kaption.workers.policy import ScorePolicy
from kaption.workers.runtime.stage import Emit, Incoming, Outcome, Stage
from kaption.workers.stages.alignment import Aligned, Alignment

if TYPE_CHECKING:
    from kaption.workers.stages.alignment import ImageInput


@dataclass(frozen=True, slots=True)
class ScoreInput:
    """An image that is ready to be embedded."""

    image: ImageInput
    seconds: float
    """Seconds that the preparation took."""


class ScoreStage(Aligned, Stage[IngestedPair, ScoreInput]):
    """Sends pairs with a good alt text to select, all others to recaption."""

    name = "score"
    inputs = (INGESTED,)
    outputs = (SCORED, CAPTIONED)

    def __init__(
        self, policy: ScorePolicy, alignment: Alignment, *, now: Callable[[], datetime]
    ) -> None:
        super().__init__(policy, alignment, policy.good_score, now)

    def prepare(self, message: Incoming[IngestedPair]) -> ScoreInput:
        """Get the cached embedding, else the pixels.

        Raises Reject (blob missing), Dead (blob damaged), Retry.
        """
        began = time.perf_counter()
        image = self._alignment.prepare(message.record.image)
        return ScoreInput(image, time.perf_counter() - began)

    def process(
        self, batch: Sequence[tuple[Incoming[IngestedPair], ScoreInput]]
    ) -> Sequence[Outcome]:
        """Embed the images that are not cached, score the alt texts and route the pairs."""
        began = time.perf_counter()
        pairs = [message.record for message, _ in batch]
        texted = [
            (at, Caption(text=pair.clean_text, kind=CaptionKind.ORIGINAL))
            for at, pair in enumerate(pairs)
            if pair.clean_text.strip()
        ]
        scored = self._alignment.score(
            [pair.image for pair in pairs], [prepared.image for _, prepared in batch], texted
        )
        found = {at: caption for (at, _), caption in zip(texted, scored, strict=True)}
        share = (time.perf_counter() - began) / len(batch)
        return [
            self._route(pair, found.get(at), prepared.seconds + share)
            for at, (pair, (_, prepared)) in enumerate(zip(pairs, batch, strict=True))
        ]

    def _route(self, pair: IngestedPair, original: Caption | None, seconds: float) -> Emit:
        fields = dict(pair) | {
            "original": original and self._alignment.fitted(original),
            "provenance": self._traced(pair.provenance, seconds),
        }
        score = None if original is None else original.score
        if score is not None and score >= self._threshold:
            good = CaptionedPair(**fields, route=Route.ALT_TEXT_GOOD)
            return Emit(((CAPTIONED, good),))
        return Emit(((SCORED, ScoredPair(**fields, route=Route.NEEDS_CAPTION)),))
