"""How many of the last captions hold a phrase, in Redis."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection
from itertools import chain
from typing import TYPE_CHECKING, cast

from kaption.workers.stores.client import redis_errors
from kaption.workers.stores.image_cache import TTL_S

if TYPE_CHECKING:
    import redis

WINDOW = 10_000
"""Captions that the counts are of."""
CELLS = 2**15
"""Counters of a generation. Phrases that share one are counted together, which adds about the
captions' mean number of phrases / CELLS to a share."""
_FEWEST = 100
"""Captions: a share of fewer says nothing, so it is told as if there were so many."""
_CAPTIONS = "n"


class PhraseCounts:
    """Two generations of counters: one that grows, and the one before it.

    A generation ends when it counted `window` / 2 captions, and then the older one is deleted: so
    the counts are of the last `window` / 2 to `window` captions. Counts add up, so replicas need
    not agree about anything; one that has not seen the end of a generation yet adds a few captions
    to it. The two hashes have at most `CELLS` small integers each, about 2 MB, and expire
    `TTL_S` seconds after their last caption. No text is kept.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, window: int = WINDOW) -> None:
        self._client = client
        self._prefix = f"{key_prefix}phrases:"
        self._half = max(1, window // 2)
        self._total: int | None = None

    def exchange(
        self, new: Collection[Collection[str]], wanted: Collection[str]
    ) -> dict[str, float]:
        """Count the phrases of new captions, and return the share of captions with each wanted one.

        One round trip; the first call of a worker takes two. Raises Retry when Redis is down.
        """
        with redis_errors():
            if self._total is None:
                found = cast("bytes | None", self._client.get(f"{self._prefix}total"))
                self._total = int(found or 0)
            generation = self._total // self._half
            keys = [f"{self._prefix}{generation - age}" for age in range(3)]
            counted = Counter(chain.from_iterable({_cell(each) for each in one} for one in new))
            cells = {phrase: _cell(phrase) for phrase in wanted}
            fields = [_CAPTIONS, *dict.fromkeys(cells.values())]
            with self._client.pipeline(transaction=False) as pipe:
                if new:
                    for cell, count in (*counted.items(), (_CAPTIONS, len(new))):
                        pipe.hincrby(keys[0], cell, count)
                    pipe.expire(keys[0], TTL_S)
                    pipe.unlink(keys[2])
                pipe.incrby(f"{self._prefix}total", len(new))
                pipe.expire(f"{self._prefix}total", TTL_S)
                pipe.hmget(keys[0], fields)
                pipe.hmget(keys[1], fields)
                *_, total, _, young, old = pipe.execute()
        self._total = total
        held = {
            field: int(one or 0) + int(other or 0)
            for field, one, other in zip(fields, young, old, strict=True)
        }
        captions = max(held[_CAPTIONS], _FEWEST)
        return {phrase: held[cell] / captions for phrase, cell in cells.items()}


def _cell(phrase: str) -> str:
    digest = hashlib.blake2b(phrase.encode(), digest_size=8).digest()
    return str(int.from_bytes(digest) % CELLS)
