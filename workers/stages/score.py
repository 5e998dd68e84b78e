"""Score: measures how well the alt text fits the image, and routes the pair by the score."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from kaption.schemas import Caption, CaptionedPair, CaptionKind, IngestedPair, Route, ScoredPair
from kaption.schemas.topics import CAPTIONED, INGESTED, SCORED
from kaption.workers.checks.check import Check
from kaption.workers.policy import ScorePolicy, SelectPolicy
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
    """Sends pairs with a good alt text to select, all others to recaption.

    A good alt text is one that select will accept: it passes select's checks and both limits of
    the score. Select would refuse another one, and the pair would be lost without a candidate.
    """

    name = "score"
    inputs = (INGESTED,)
    outputs = (SCORED, CAPTIONED)

    def __init__(
        self,
        policy: ScorePolicy,
        alignment: Alignment,
        select: SelectPolicy,
        checks: Sequence[Check],
        *,
        now: Callable[[], datetime],
    ) -> None:
        """`select` and `checks` are those of the stage select."""
        thresholds = (policy.good_score, select.min_score)
        super().__init__(policy, alignment, thresholds, now, select)
        self._checks = tuple(checks)

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
        if original is not None and self._is_good(original):
            good = CaptionedPair(**fields, route=Route.ALT_TEXT_GOOD)
            return Emit(((CAPTIONED, good),))
        return Emit(((SCORED, ScoredPair(**fields, route=Route.NEEDS_CAPTION)),))

    def _is_good(self, original: Caption) -> bool:
        if original.score is None or original.score < self._threshold:
            return False
        return all(check.check(original).passed for check in self._checks)
