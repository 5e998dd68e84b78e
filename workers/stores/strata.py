"""Counts of clean pairs by stratum, in Redis, so that rare strata are not starved of an audit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import floor
from typing import TYPE_CHECKING, NamedTuple

from kaption.schemas import CleanPair
from kaption.workers.stores.client import redis_errors
from kaption.workers.stores.image_cache import TTL_S

if TYPE_CHECKING:
    import redis

BAND = 0.05
"""Width of a band of scores, as a cosine."""
_ROWS, _COLUMNS = 4, 1024


class Stratum(NamedTuple):
    """Pairs that are alike for an audit. An unknown source, language or band is empty."""

    source: str
    language: str
    kind: str
    """Kind of the best caption."""
    band: str
    """Band of its score, for example ``0.25``: scores from 0.25 to below 0.30."""


class Counted(NamedTuple):
    """The counts after a batch of pairs, the batch included."""

    sizes: Sequence[int]
    """For each pair the number of pairs of its stratum so far. It may be too high, never too
    low."""
    pairs: int
    """All pairs so far."""
    extra: int
    """Pairs that were sampled for the rarity of their stratum alone."""


class Strata:
    """A count-min sketch (Cormode and Muthukrishnan, 2005) of the sizes of strata.

    One hash of at most `_ROWS` * `_COLUMNS` small integers, about 100 kB, however many sources and
    languages a crawl has. It expires `TTL_S` seconds after its last pair; then counting begins
    anew. The alternative, a counter for each stratum, would grow with the names of sources.

    Every method raises Retry when Redis is down.
    """

    def __init__(self, client: redis.Redis, key_prefix: str) -> None:
        self._client = client
        self._key = f"{key_prefix}strata"

    def count(self, strata: Sequence[Stratum]) -> Counted:
        """Count pairs, each by its stratum. One round trip."""
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for stratum in strata:
                for field in _fields(stratum):
                    pipe.hincrby(self._key, field, 1)
            pipe.hincrby(self._key, "pairs", len(strata))
            pipe.hincrby(self._key, "extra", 0)
            pipe.expire(self._key, TTL_S)
            *cells, pairs, extra, _ = pipe.execute()
        sizes = [min(cells[at : at + _ROWS]) for at in range(0, len(cells), _ROWS)]
        return Counted(sizes, pairs, extra)

    def spend(self, extra: int) -> None:
        """Count pairs that were sampled for the rarity of their stratum alone."""
        with redis_errors():
            self._client.hincrby(self._key, "extra", extra)


def stratum_of(pair: CleanPair) -> Stratum:
    """The stratum of a pair, by its best caption."""
    best = pair.captions[0]
    language = pair.detected_language or pair.language or ""
    return Stratum(pair.source or "", language, best.kind.value, band_of(best.score))


def band_of(score: float | None) -> str:
    """The lower end of the band of a score; empty where there is no score."""
    return "" if score is None else f"{floor(score / BAND + 1e-9) * BAND:.2f}"


def _fields(stratum: Stratum) -> list[str]:
    digest = hashlib.blake2b("\0".join(stratum).encode(), digest_size=4 * _ROWS).digest()
    numbers = (digest[4 * row : 4 * row + 4] for row in range(_ROWS))
    return [f"{row}:{int.from_bytes(each) % _COLUMNS}" for row, each in enumerate(numbers)]
