"""Select: keeps the best of the original and the candidates, or rejects the pair."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from kaption.schemas import (
    Audit,
    AuditState,
    Caption,
    CaptionedPair,
    CaptionKind,
    CheckResult,
    CleanPair,
    Reason,
)
from kaption.schemas.limits import DETAIL_CHARS
from kaption.schemas.topics import AUDIT, CAPTIONED, CLEAN
from kaption.workers.checks.check import Check
from kaption.workers.policy import SelectPolicy
from kaption.workers.runtime.stage import Emit, Incoming, Outcome, Reject, Stage
from kaption.workers.stages.alignment import Aligned, Alignment
from kaption.workers.stages.select.ranking import rank
from kaption.workers.stores.takedowns import TakedownList

if TYPE_CHECKING:
    from kaption.workers.stages.alignment import ImageInput


@dataclass(frozen=True, slots=True)
class SelectInput:
    """A pair's checked captions."""

    passed: tuple[Caption, ...]
    failed: tuple[Caption, ...]
    image: ImageInput | None
    """None if all of `passed` have a score already."""
    seconds: float
    """Seconds that the preparation took."""


class SelectStage(Aligned, Stage[CaptionedPair, SelectInput]):
    """Emits clean pairs, and a sample of them to pairs.audit for people.

    Select looks takedowns up once more, for pairs that had passed ingest when the takedown came.
    """

    name = "select"
    inputs = (CAPTIONED,)
    outputs = (CLEAN, AUDIT)

    def __init__(
        self,
        policy: SelectPolicy,
        alignment: Alignment,
        checks: Sequence[Check],
        takedowns: TakedownList,
        *,
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(policy, alignment, policy.min_score, now)
        self._policy = policy
        self._checks = tuple(checks)
        self._takedowns = takedowns

    def prepare(self, message: Incoming[CaptionedPair]) -> SelectInput:
        """Check the captions, and get the image if a caption needs a score.

        Raises Reject (no caption, checks failed, blob missing), Dead (blob damaged), Retry.
        """
        began = time.perf_counter()
        pair = message.record
        captions = [self._checked(caption) for caption in _captions(pair, self._alignment)]
        passed = tuple(c for c in captions if all(result.passed for result in c.checks))
        failed = tuple(c for c in captions if c not in passed)
        if not captions:
            raise Reject(Reason.NO_CAPTION, "neither alt text nor candidates")
        if not passed:
            raise Reject(Reason.CHECKS_FAILED, _failures(failed))
        scored = all(caption.score is not None for caption in passed)
        image = None if scored else self._alignment.prepare(pair.image)
        return SelectInput(passed, failed, image, time.perf_counter() - began)

    def process(
        self, batch: Sequence[tuple[Incoming[CaptionedPair], SelectInput]]
    ) -> Sequence[Outcome]:
        """Score the captions without a score, rank them and reject pairs without a good one."""
        began = time.perf_counter()
        scored = self._score(batch)
        # Look takedowns up last, to keep the time between this look and the commit short.
        gone = self._takedowns.rejections([message.record for message, _ in batch])
        share = (time.perf_counter() - began) / len(batch)
        return [
            gone.get(at) or self._outcome(message.record, captions, prepared, share)
            for at, ((message, prepared), captions) in enumerate(zip(batch, scored, strict=True))
        ]

    def _checked(self, caption: Caption) -> Caption:
        results = tuple(check.check(caption) for check in self._checks)
        return caption.model_copy(update={"checks": results})

    def _score(
        self, batch: Sequence[tuple[Incoming[CaptionedPair], SelectInput]]
    ) -> list[list[Caption]]:
        """The passed captions of each item, all with a score."""
        images = {at: p.image for at, (_, p) in enumerate(batch) if p.image is not None}
        row = {at: number for number, at in enumerate(images)}
        wanted = [
            (row[at], caption)
            for at, (_, prepared) in enumerate(batch)
            for caption in prepared.passed
            if caption.score is None
        ]
        scored = iter(
            self._alignment.score(
                [batch[at][0].record.image for at in images], list(images.values()), wanted
            )
        )
        return [
            [c if c.score is not None else next(scored) for c in prepared.passed]
            for _, prepared in batch
        ]

    def _outcome(
        self,
        pair: CaptionedPair,
        captions: list[Caption],
        prepared: SelectInput,
        share: float,
    ) -> Outcome:
        kept = rank(captions, self._policy, self._threshold)
        if not kept:
            return Reject(Reason.LOW_ALIGNMENT, self._too_low(captions, prepared.failed))
        fields = {name: value for name, value in pair if name in CleanPair.model_fields}
        fields |= {
            "captions": tuple(self._alignment.fitted(caption) for caption in kept),
            "original_score": _original_score((*captions, *prepared.failed)),
            "provenance": self._traced(pair.provenance, prepared.seconds + share),
        }
        clean = CleanPair(**fields)
        if not sampled(pair.pair_id, self._policy.audit_fraction):
            return Emit(((CLEAN, clean),))
        audit = clean.model_copy(update={"audit": Audit(state=AuditState.SAMPLED)})
        return Emit(((CLEAN, clean), (AUDIT, audit)))

    def _too_low(self, captions: Sequence[Caption], failed: Sequence[Caption]) -> str:
        best = max(captions, key=lambda caption: caption.score or 0.0)
        detail = (
            f"best of {len(captions)}: {best.kind.value} {best.score:.3f}"
            f" < min_score {self._threshold:.3f}"
        )
        return detail + (f"; failed checks: {_failures(failed)}" if failed else "")[:DETAIL_CHARS]


def sampled(pair_id: str, fraction: float) -> bool:
    """Whether a pair belongs to the audit sample. A replay gives the same answer."""
    return int.from_bytes(sha256(pair_id.encode()).digest()[:8]) < fraction * 2**64


def _captions(pair: CaptionedPair, alignment: Alignment) -> list[Caption]:
    """Original and candidates. A score that another scorer gave is removed."""
    captions = [] if pair.original is None else [pair.original]
    captions += pair.candidates
    ours = any(trace.stage == "score" and alignment.gave(trace) for trace in pair.provenance.stages)
    return [
        caption
        if ours and caption is pair.original
        else caption.model_copy(update={"score": None, "window_scores": ()})
        for caption in captions
    ]


def _original_score(captions: Iterable[Caption]) -> float | None:
    """The original's score, also of an original that failed a check."""
    return next((c.score for c in captions if c.kind is CaptionKind.ORIGINAL), None)


def _failures(failed: Sequence[Caption]) -> str:
    def of(caption: Caption) -> list[CheckResult]:
        return [result for result in caption.checks if not result.passed]

    return "; ".join(
        f"{caption.kind.value}: " + ", ".join(f"{r.name} ({r.detail})" for r in of(caption))
        for caption in failed
    )[:DETAIL_CHARS]
