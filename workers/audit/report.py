"""What people's decisions say about the texts, the people and the thresholds."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from kaption.connections.settings import KafkaConnection
from kaption.consumers import Tombstone, TopicReader
from kaption.schemas import AuditState, CleanPair
from kaption.schemas.pair import decision_key
from kaption.schemas.topics import AUDITED
from kaption.workers.audit.decision import shown
from kaption.workers.stores.strata import band_of

LEAST = 30
"""Decisions from which a threshold is told. With fewer, an interval of 95 % is wider than 0.3."""
_CODES = {AuditState.ACCEPTED: 0, AuditState.CORRECTED: 1, AuditState.REFUSED: 2}

Scorer = tuple[str, str]
"""Revision and preprocessing: scores of two scorers cannot be compared."""


@dataclass(frozen=True, slots=True)
class AcceptedShare:
    """How many texts people accepted. The ends are those of Wilson's interval of 95 %."""

    accepted: int
    judged: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share."""
        return self.accepted / self.judged


@dataclass(frozen=True, slots=True)
class ThresholdTarget:
    """The lowest threshold from which the share of right texts reaches the target."""

    lowest: float
    """The lowest score that was judged. Below it nothing is known, for such pairs are rejected."""
    threshold: float | None
    """The threshold; None: none with `LEAST` decisions above it reaches the target."""
    above: AcceptedShare | None
    """The texts at or above it."""
    now: AcceptedShare
    """All texts that were judged."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The figures. Each pair counts once: its text is right where everybody accepted it."""

    shares: Mapping[str, Mapping[str, AcceptedShare]]
    """Shares by a property of texts (all, model, kind, language or score), then by its value."""
    pairs: int
    judged_twice: int
    same: int
    """Pairs that two people judged in the same way."""
    alpha: float | None
    """Krippendorff's alpha for nominal data; 1: people agree, 0: as by chance. None: no pair was
    judged twice, or all decisions are the same."""
    targets: Mapping[Scorer, ThresholdTarget]


def decisions(kafka: KafkaConnection) -> list[CleanPair]:
    """Every decision that stands. Raises ReadError."""
    newest: dict[str, CleanPair] = {}
    with TopicReader(kafka, [AUDITED]) as reader:
        for read in reader:
            if isinstance(read.record, Tombstone):
                newest.pop(read.record.key, None)
            elif isinstance(read.record, CleanPair):
                newest[decision_key(read.record)] = read.record
    return [each for each in newest.values() if each.audit.state in _CODES]


def report(made: Sequence[CleanPair], target: float) -> AuditReport:
    """Compute the figures; `target` is the share of right texts to reach."""
    pairs: dict[str, list[CleanPair]] = defaultdict(list)
    for each in made:
        pairs[each.pair_id].append(each)
    twice = [each for each in pairs.values() if len(each) > 1]
    judged = [(each[0], _right(each)) for each in pairs.values()]
    scored: dict[Scorer, list[tuple[float, bool]]] = defaultdict(list)
    for pair, right in judged:
        score, scorer = shown(pair).score, _scorer(pair)
        if score is not None and scorer is not None:
            scored[scorer].append((score, right))
    return AuditReport(
        shares={
            name: _shares((of(pair), right) for pair, right in judged)
            for name, of in _TOLD_APART.items()
        },
        pairs=len(pairs),
        judged_twice=len(twice),
        same=sum(len({each.audit.state for each in several}) == 1 for several in twice),
        alpha=_alpha(twice),
        targets={scorer: _target(found, target) for scorer, found in scored.items()},
    )


def _right(several: Sequence[CleanPair]) -> bool:
    return all(each.audit.state is AuditState.ACCEPTED for each in several)


def _model(pair: CleanPair) -> str:
    caption = shown(pair)
    return f"{caption.model or caption.kind.value} {caption.revision or ''}".strip()


_TOLD_APART: Mapping[str, Callable[[CleanPair], str]] = {
    "all": lambda pair: "all",
    "model": _model,
    "kind": lambda pair: shown(pair).kind.value,
    "language": lambda pair: pair.detected_language or pair.language or "unknown",
    "source": lambda pair: pair.source or "unknown",
    "score": lambda pair: band_of(shown(pair).score) or "none",
}


def _shares(rows: Iterable[tuple[str, bool]]) -> dict[str, AcceptedShare]:
    found: dict[str, list[bool]] = defaultdict(list)
    for name, right in rows:
        found[name].append(right)
    return {name: _share(found[name]) for name in sorted(found)}


def _share(rights: Sequence[bool]) -> AcceptedShare:
    from scipy.stats import binomtest

    interval = binomtest(sum(rights), len(rights)).proportion_ci(0.95, method="wilson")
    return AcceptedShare(sum(rights), len(rights), float(interval.low), float(interval.high))


def _alpha(twice: Sequence[Sequence[CleanPair]]) -> float | None:
    import krippendorff
    import numpy as np

    people = sorted({str(each.audit.by) for several in twice for each in several})
    codes = np.full((len(people), len(twice)), np.nan)
    for column, several in enumerate(twice):
        for each in several:
            codes[people.index(str(each.audit.by)), column] = _CODES[each.audit.state]
    if len(set(codes[~np.isnan(codes)])) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alpha = float(krippendorff.alpha(codes, level_of_measurement="nominal"))
    return alpha if isfinite(alpha) else None


def _target(scored: Sequence[tuple[float, bool]], target: float) -> ThresholdTarget:
    ordered = sorted(scored)
    rights = [right for _, right in ordered]
    left, found = sum(rights), None
    for at, (score, right) in enumerate(ordered):
        first = at == 0 or ordered[at - 1][0] < score
        above = len(ordered) - at
        if first and above >= LEAST and left / above >= target:
            found = at
            break
        left -= right
    return ThresholdTarget(
        lowest=ordered[0][0],
        threshold=None if found is None else ordered[found][0],
        above=None if found is None else _share(rights[found:]),
        now=_share(rights),
    )


def _scorer(pair: CleanPair) -> Scorer | None:
    """The scorer of the stage select."""
    for trace in reversed(pair.provenance.stages):
        if trace.stage == "select" and trace.preprocessing_id and trace.models:
            return next(iter(trace.models.values())), trace.preprocessing_id
    return None
