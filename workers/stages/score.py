"""Score: measures how well the alt text fits the image, and routes the pair by the score."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from kaption.schemas import (
    Caption,
    CaptionedPair,
    CaptionKind,
    IngestedPair,
    Reason,
    Route,
    ScoredPair,
)
from kaption.schemas.topics import CAPTIONED, INGESTED, SCORED
from kaption.workers.checks.check import Check
from kaption.workers.policy.score import ScorePolicy
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.runtime.stage import Emit, Incoming, Outcome, Reject, Stage
from kaption.workers.stages.alignment import Aligned, Alignment, scored
from kaption.workers.stages.thresholds import ShownImage, Shuffles, cell_of
from kaption.workers.stores.copy_texts import CopyTexts
from kaption.workers.stores.cosines import CosineSample
from kaption.workers.stores.semantic import ClaimedImage, Neighbour, SemanticClaims

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kaption.workers.models.windows import TextScore
    from kaption.workers.stages.alignment import ImageInput


@dataclass(frozen=True, slots=True)
class ScoreInput:
    """An image that is ready to be embedded."""

    image: ImageInput
    seconds: float
    """Seconds that the preparation took."""


@dataclass(frozen=True, slots=True)
class ScoreStores:
    """What score reads and keeps in Redis, besides what `Alignment` holds."""

    copies: CopyTexts
    semantic: SemanticClaims | None = None
    """Given where the policy marks or drops semantic near-duplicates."""


class ScoreStage(Aligned, Stage[IngestedPair, ScoreInput]):
    """Sends pairs with a good alt text to select, all others to recaption.

    A good alt text is one that select will accept: it passes select's checks and both limits of
    the score. Select would refuse another one, and the pair would be lost without a candidate.
    The alt texts of refused copies of the image are scored and compete too.

    The claim on what the image shows comes last, as in ingest: after it only Retry.
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
        stores: ScoreStores,
        *,
        now: Callable[[], datetime],
    ) -> None:
        """`select` and `checks` are those of the stage select."""
        thresholds = (policy.good_score, select.min_score)
        super().__init__(policy, alignment, thresholds, now, select)
        self._checks = tuple(checks)
        self._copies = stores.copies
        self._semantic = stores.semantic
        self._policy = policy
        self._shuffles = Shuffles()

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
            (at, Caption(text=pair.clean_text, kind=CaptionKind.ORIGINAL, masked=pair.masked))
            for at, pair in enumerate(pairs)
            if pair.clean_text.strip()
        ]
        copies = self._copies.get([pair.dedup.owner for pair in pairs])
        texted += [
            (at, other)
            for at, (pair, others) in enumerate(zip(pairs, copies, strict=True))
            for other in others
            if other.text.casefold() != pair.clean_text.casefold()
        ]
        images = [pair.image for pair in pairs]
        rows = self._alignment.embed(images, [prepared.image for _, prepared in batch])
        scores = self._alignment.scores(rows, texted)
        least = self._learned(batch, rows, texted, scores)
        found: list[list[Caption]] = [[] for _ in pairs]
        for (at, text), score in zip(texted, scores, strict=True):
            found[at].append(scored(text, score))
        near = self._neighbours(pairs, rows)
        share = (time.perf_counter() - began) / len(batch)
        return [
            self._route(pair, found[at], least[at], prepared.seconds + share)
            if isinstance(pair, IngestedPair)
            else pair
            for at, (pair, (_, prepared)) in enumerate(zip(near, batch, strict=True))
        ]

    def _neighbours(
        self, pairs: Sequence[IngestedPair], rows: NDArray[np.float32]
    ) -> list[IngestedPair | Reject]:
        """The pairs; those near to a kept one are marked or rejected, as the policy says."""
        if self._semantic is None:
            return list(pairs)
        scorer = self._alignment.scorer
        images = [
            ClaimedImage(pair.image.blob.sha256, pair.dedup.owner, pair.pair_id) for pair in pairs
        ]
        found = self._semantic.claim((scorer.revision, scorer.preprocessing_id), images, rows)
        if self._policy.semantic == "drop":
            return [
                pair if near is None else Reject(Reason.SEMANTIC_DUPLICATE, str(near))
                for pair, near in zip(pairs, found, strict=True)
            ]
        return [
            pair if near is None else _marked(pair, near)
            for pair, near in zip(pairs, found, strict=True)
        ]

    def _learned(
        self,
        batch: Sequence[tuple[Incoming[IngestedPair], ScoreInput]],
        rows: NDArray[np.float32],
        texted: Sequence[tuple[int, Caption]],
        scores: Sequence[TextScore],
    ) -> list[float | None]:
        """Count the cosines of the pairs' own texts, and return the threshold of each pair."""
        messages = [message for message, _ in batch]
        cells = [cell_of(message.record) for message in messages]
        if self._sets_itself:
            shown = [
                ShownImage(message.record.image.blob.sha256, message.record.clean_text, row)
                for message, row in zip(messages, rows, strict=True)
            ]
            own = [
                (at, score)
                for (at, text), score in zip(texted, scores, strict=True)
                if text.source is None and messages[at].record.brought_by is None
            ]
            others = self._shuffles.cosines(shown, [(at, score.vector) for at, score in own])
            self._thresholds.learn(
                [
                    CosineSample(cells[at], messages[at].position, score.score, cosines)
                    for (at, score), cosines in zip(own, others, strict=True)
                ]
            )
        return self._least(cells)

    def _route(
        self, pair: IngestedPair, texts: Sequence[Caption], least: float | None, seconds: float
    ) -> Emit:
        fitted = [self._alignment.fitted(text) for text in texts]
        fields = dict(pair) | {
            "original": next((text for text in fitted if text.source is None), None),
            "other_texts": tuple(text for text in fitted if text.source is not None),
            "provenance": self._traced(pair.provenance, seconds, least),
        }
        # A pair that a copy sends once more goes the way that it went for itself: it cannot
        # overtake itself, and its candidates are cached and compete.
        deciding = texts if pair.brought_by is None else [t for t in texts if t.source is None]
        if any(self._is_good(text, least) for text in deciding):
            good = CaptionedPair(**fields, route=Route.ALT_TEXT_GOOD)
            return Emit(((CAPTIONED, good),))
        return Emit(((SCORED, ScoredPair(**fields, route=Route.NEEDS_CAPTION)),))

    def _is_good(self, original: Caption, least: float | None) -> bool:
        if original.score is None or least is None or original.score < least:
            return False
        return all(check.check(original).passed for check in self._checks)


def _marked(pair: IngestedPair, near: Neighbour) -> IngestedPair:
    seen = {"semantic_neighbour": near.pair_id, "semantic_similarity": near.cosine}
    return pair.model_copy(update={"dedup": pair.dedup.model_copy(update=seen)})
