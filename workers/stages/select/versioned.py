"""Numbers the versions of pairs that come once more, because a copy brought a text later."""

from __future__ import annotations

from collections.abc import Sequence

from kaption.schemas import CaptionedPair, CleanPair, Reason
from kaption.workers.models.scorer import Scorer
from kaption.workers.runtime.stage import Incoming, Reject
from kaption.workers.stores.versions import VersionCandidate, Versions


def versioned(
    messages: Sequence[Incoming[CaptionedPair]],
    decided: Sequence[CleanPair | Reject],
    versions: Versions,
    margin: float,
    scorer: Scorer,
) -> list[CleanPair | Reject]:
    """The outcomes, with the version of each clean pair.

    A pair that a copy sent once more is a duplicate unless its best caption is another one than
    before and exceeds that by `margin`. Raises Retry.
    """
    clean = {at: pair for at, pair in enumerate(decided) if isinstance(pair, CleanPair)}
    wanted = [_candidate(messages[at], pair, scorer) for at, pair in clean.items()]
    numbers = dict(zip(clean, versions.of(wanted, margin), strict=True))
    numbered = list(decided)
    for at, pair in clean.items():
        owner = messages[at].record.dedup.owner
        numbered[at] = (
            pair.model_copy(update={"version": numbers[at]})
            if numbers[at]
            else Reject(Reason.DUPLICATE, f"of {owner}: no better text")
        )
    return numbered


def _candidate(
    message: Incoming[CaptionedPair], pair: CleanPair, scorer: Scorer
) -> VersionCandidate:
    best = pair.captions[0]
    kind, worth = "specificity", best.specificity
    if worth is None:
        kind, worth = "score", best.score or 0.0
    return VersionCandidate(
        pair_id=pair.pair_id,
        delivery=message.position,
        own=message.record.brought_by is None,
        text=best.text,
        worth=worth,
        measured_by=f"{kind} {scorer.revision} {scorer.preprocessing_id}",
    )
