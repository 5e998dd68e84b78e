"""The takedowns in Redis: a copy of what the dataset says, fast enough to ask for every pair."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import TYPE_CHECKING, cast

from kaption.connections.errors import Retry
from kaption.schemas import CleanPair, IngestedPair, RawPair, Reason, rule_id, rules_for
from kaption.workers.runtime.stage import Reject
from kaption.workers.stores import client as redis_client

if TYPE_CHECKING:
    import redis


COMPARE_S = 300.0
"""How often each worker compares the copy with the dataset: a Redis that came back with an older
state knows its newest takedowns again after that. One that came back empty is noticed at once."""

_CHUNK = 10_000
"""Added at once: the server answers nobody else meanwhile, for some milliseconds."""
_WHOLE = b"whole"


class TakedownList:
    """One set of the takedowns' ids, 16 bytes each, with a mark that it is whole.

    Each pair is looked up by the ids of the rules that would cover it, all in one command: a
    takedown holds for whatever is asked after it was added, in all workers at once. A set in each
    worker's memory would answer without Redis, but only after its next refresh, and at millions of
    takedowns that refresh is dear.

    The mark is in the set itself, so that it is lost with it.
    """

    def __init__(
        self,
        client: redis.Redis,
        key_prefix: str,
        read_ids: Callable[[Collection[str]], Collection[str]],
        *,
        compare_s: float = COMPARE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read_ids` gives the ids of all takedowns in the dataset, told those that are known."""
        self._client = client
        self._key = f"{key_prefix}takedowns"
        self._read_ids = read_ids
        self._compare_s = compare_s
        self._clock = clock
        self._due = clock()
        self._comparing = threading.Lock()

    def add(self, ids: Collection[str]) -> None:
        """Have them honoured from now on; they are in the dataset already."""
        members = map(bytes.fromhex, ids)
        with redis_client.translated():
            while chunk := list(islice(members, _CHUNK)):
                self._client.sadd(self._key, *chunk)

    def covering(self, pairs: Sequence[RawPair | IngestedPair | CleanPair]) -> list[str | None]:
        """One round trip, but for a comparison that is due."""
        if not pairs:
            return []
        ids = [[rule_id(rule) for rule in rules_for(pair)] for pair in pairs]
        found = self._look(ids)
        if found is None or self._clock() >= self._due:
            self._compare()
            found = self._look(ids)
        if found is None:
            raise Retry("Redis was emptied while takedowns were read")
        return found

    def _look(self, ids: Sequence[Sequence[str]]) -> list[str | None] | None:
        """For each list one of its ids that is in the set, or None; None where it is not whole."""
        members = [_WHOLE, *(bytes.fromhex(each) for listed in ids for each in listed)]
        with redis_client.translated():
            answers = iter(cast("list[int]", self._client.smismember(self._key, members)))
        if not next(answers):
            return None
        held = [[each for each in listed if next(answers)] for listed in ids]
        return [listed[0] if listed else None for listed in held]

    def _compare(self) -> None:
        """Make the set what the dataset says.

        It is read before the dataset: what is in it then and not in the dataset afterwards was
        withdrawn, because a takedown is in the dataset before it is here.
        """
        with self._comparing:
            if self._clock() < self._due and self._look([]) is not None:
                return  # another thread was first
            with redis_client.translated():
                members = cast("set[bytes]", self._client.smembers(self._key)) - {_WHOLE}
            held = {member.hex() for member in members}
            wanted = set(self._read_ids(held))
            self.add(wanted - held)
            with redis_client.translated():
                if withdrawn := held - wanted:
                    self._client.srem(self._key, *map(bytes.fromhex, withdrawn))
                self._client.sadd(self._key, _WHOLE)
            self._due = self._clock() + self._compare_s


def taken_down(
    takedowns: TakedownList, pairs: Sequence[RawPair | IngestedPair | CleanPair]
) -> dict[int, Reject]:
    """Place in the batch to rejection. Raises Retry, Fatal."""
    return {
        at: Reject(Reason.TAKEN_DOWN, f"takedown {takedown_id}")
        for at, takedown_id in enumerate(takedowns.covering(pairs))
        if takedown_id is not None
    }
