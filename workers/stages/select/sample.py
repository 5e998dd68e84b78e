"""The audit sample: which clean pairs people are asked to judge."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from kaption.schemas import CleanPair
from kaption.workers.stores.strata import Strata, stratum_of

FEW = 10
"""Pairs of a stratum that are sampled first of all. While a stratum has n pairs, the share of it
that is sampled is `FEW` / n, but not below the share for all."""


class AuditSample:
    """Samples at least `fraction` of the pairs, more of rare strata, and at most twice that in all.

    A pair is sampled where its draw, a number from 0 to 1 that is the hash of its pair_id, is
    below the rate of its stratum: source, language, kind of the best caption and band of its score.
    The rate begins at 1 and falls to `fraction` as pairs of the stratum come, so a stratum of few
    pairs is judged whole. What is sampled beyond `fraction` is counted and ends at another
    `fraction` of all pairs: with a source of its own for each page every stratum is rare.

    The draw depends on the pair_id alone, and rates only fall. So a replay samples the same pairs
    below `fraction` again, and of the others at most those that a rarer stratum would have had.
    The alternative, a reservoir for each stratum, cannot take back a pair that it has emitted, and
    would keep the names of pairs.
    """

    def __init__(self, fraction: float, strata: Strata) -> None:
        self._fraction = fraction
        self._strata = strata

    def of(self, pairs: Sequence[CleanPair]) -> list[bool]:
        """Whether each pair is sampled. Counts them all. Raises Retry."""
        if not pairs or not self._fraction:
            return [False] * len(pairs)
        counted = self._strata.count([stratum_of(pair) for pair in pairs])
        left = int(counted.pairs * self._fraction) - counted.extra
        chosen, spent = [], 0
        for pair, size in zip(pairs, counted.sizes, strict=True):
            drawn = draw(pair.pair_id)
            extra = self._fraction <= drawn < FEW / size and spent < left
            spent += extra
            chosen.append(drawn < self._fraction or extra)
        if spent:
            self._strata.spend(spent)
        return chosen


def draw(pair_id: str, purpose: str = "") -> float:
    """A number from 0 to below 1 that depends on the pair_id and the purpose alone."""
    return int.from_bytes(sha256((purpose + pair_id).encode()).digest()[:7]) / 2**56
