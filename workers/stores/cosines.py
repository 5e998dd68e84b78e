"""Histograms of cosines, in Redis: what alt texts score with their own image, and with others."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from kaption.schemas import Position
from kaption.workers.stores.client import redis_errors
from kaption.workers.stores.image_cache import TTL_S

if TYPE_CHECKING:
    import redis

BINS = 400
"""Bins for cosines from -1 to 1, each 0.005 wide. SigLIP's wrong pairs spread over six bins."""
MOST_CELLS = 256
"""Cells of one scorer that name a source. The one that got no text for longest makes room: sources
have any number of names."""
ANY = "*"
MATCHED, SHUFFLED = "m", "s"


class Cell(NamedTuple):
    """Texts of one language and one source. `ANY` stands for all; an unknown one is empty."""

    language: str = ANY
    source: str = ANY

    def wider(self) -> tuple[Cell, ...]:
        """This cell, its language alone, and everything."""
        return self, Cell(self.language), Cell()


class CosineSample(NamedTuple):
    """The cosines of one alt text."""

    cell: Cell
    position: Position
    """The position of the alt text's record. A sample at or before the last counted position of its
    partition is passed over: the record was delivered again."""
    matched: float
    """The cosine with the text's own image. Nobody knows whether the two belong together."""
    shuffled: Sequence[float]
    """The cosines with other images, which surely do not belong to the text."""


@dataclass(slots=True)
class Cosines:
    """How many cosines lie in each bin, by the bin's number."""

    matched: Counter[int] = field(default_factory=Counter)
    shuffled: Counter[int] = field(default_factory=Counter)
    used: float | None = None
    """The threshold in use. Kept with the counts, so that all replicas hold on to the same."""


class CosineStore:
    """One hash for each scorer, preprocessing and cell: ``m`` or ``s`` plus the number of a bin.

    Counts add up, so replicas need not agree about anything. A hash has at most `2 * BINS` small
    integers, about 20 kB as used, and expires `TTL_S` seconds after its last text.

    Every method raises Retry when Redis is down.
    """

    def __init__(self, client: redis.Redis, key_prefix: str) -> None:
        self._client = client
        self._prefix = f"{key_prefix}cosines:"

    def read(self, scorer: tuple[str, str], cells: Sequence[Cell]) -> list[Cosines]:
        """The counts of each cell. `scorer` is its revision and preprocessing. One round trip."""
        base = self._base(scorer)
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for cell in cells:
                pipe.hgetall(_key(base, cell))
            return [_cosines(found) for found in pipe.execute()]

    def add(self, scorer: tuple[str, str], samples: Sequence[CosineSample]) -> dict[Cell, Cosines]:
        """Count the samples in their cells and the wider ones. Two round trips.

        Returns what was counted. A sample counts at most once: where a worker dies between two
        commands, some are not counted.
        """
        base = self._base(scorer)
        logs = list({_log(sample.position) for sample in samples})
        if not logs:
            return {}
        with redis_errors():
            found = cast("list[bytes | None]", self._client.hmget(f"{base}:counted", logs))
        counted = {log: int(at or -1) for log, at in zip(logs, found, strict=True)}
        new = [s for s in samples if s.position.offset > counted[_log(s.position)]]
        counts = _counted(new)
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            # First, so that nothing counts twice.
            for sample in new:
                log, offset = _log(sample.position), sample.position.offset
                counted[log] = max(offset, counted[log])
            pipe.hset(f"{base}:counted", mapping=cast(Any, counted))
            pipe.expire(f"{base}:counted", TTL_S)
            for cell, cosines in counts.items():
                key = _key(base, cell)
                for name, each in ((MATCHED, cosines.matched), (SHUFFLED, cosines.shuffled)):
                    for at, count in each.items():
                        pipe.hincrby(key, f"{name}{at}", count)
                pipe.expire(key, TTL_S)
                if cell.source != ANY:
                    pipe.zadd(f"{base}:cells", {key: time.time()})
            pipe.expire(f"{base}:cells", TTL_S)
            pipe.zcard(f"{base}:cells")
            held = pipe.execute()[-1]
            if held > MOST_CELLS:
                popped: Any = self._client.zpopmin(f"{base}:cells", held - MOST_CELLS)
                self._client.delete(*(key for key, _ in popped))
        return counts

    def use(self, scorer: tuple[str, str], cell: Cell, threshold: float) -> None:
        """Remember the threshold in use. Only for a cell that has counts."""
        key = _key(self._base(scorer), cell)
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            pipe.hset(key, "used", repr(threshold))
            pipe.expire(key, TTL_S)
            pipe.execute()

    def bound(self, scorer: tuple[str, str]) -> float | None:
        """The cosine below which people's decisions say that too many texts are wrong."""
        with redis_errors():
            found = cast("bytes | None", self._client.get(f"{self._base(scorer)}:bound"))
        return None if found is None else float(found)

    def set_bound(self, scorer: tuple[str, str], threshold: float) -> None:
        """Set `bound`. Unlike counts it does not expire: nothing in the stream brings it back."""
        with redis_errors():
            self._client.set(f"{self._base(scorer)}:bound", repr(threshold))

    def _base(self, scorer: tuple[str, str]) -> str:
        return self._prefix + _digest(scorer)


def bin_of(cosine: float) -> int:
    """The bin that holds a cosine. Rounding takes some a little beyond 1."""
    return min(max(int((cosine + 1) / 2 * BINS), 0), BINS - 1)


def _counted(samples: Iterable[CosineSample]) -> dict[Cell, Cosines]:
    counts: dict[Cell, Cosines] = {}
    for sample in samples:
        # A broken scorer must not count, nor kill records: the stage's probe finds it.
        if not isfinite(sample.matched):
            continue
        matched = bin_of(sample.matched)
        shuffled = Counter(map(bin_of, filter(isfinite, sample.shuffled)))
        for cell in dict.fromkeys(sample.cell.wider()):
            cosines = counts.setdefault(cell, Cosines())
            cosines.matched[matched] += 1
            cosines.shuffled.update(shuffled)
    return counts


def _cosines(found: Mapping[bytes, bytes]) -> Cosines:
    cosines = Cosines()
    for name, value in found.items():
        if name == b"used":
            cosines.used = float(value)
        else:
            kind = cosines.matched if name[:1] == MATCHED.encode() else cosines.shuffled
            kind[int(name[1:])] = int(value)
    return cosines


def _log(position: Position) -> str:
    return f"{position.topic}/{position.partition}/{position.topic_id or ''}"


def _key(base: str, cell: Cell) -> str:
    return f"{base}:{_digest(cell)}"


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
