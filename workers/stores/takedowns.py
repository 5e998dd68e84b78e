"""The takedown list: a copy of the dataset's takedowns in Redis, looked up for every pair."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import TYPE_CHECKING, cast

from kaption.connections.errors import Retry
from kaption.schemas import (
    CleanPair,
    IngestedPair,
    RawPair,
    Reason,
    TakedownKind,
    rule_id,
    rules_for,
)
from kaption.schemas.takedown import Coverable
from kaption.workers.runtime.stage import Reject
from kaption.workers.stores.client import redis_errors

if TYPE_CHECKING:
    import redis


_log = logging.getLogger(__name__)
COMPARE_S = 300.0
"""Seconds between two comparisons of the copy with the dataset, in each worker. A Redis that came
back with an older state has its newest takedowns again after at most this time. A Redis that came
back empty is noticed at once."""

_CHUNK = 10_000
"""Takedowns added in one command. Redis serves nobody else for some milliseconds meanwhile."""
_WHOLE = b"whole"


class TakedownList:
    """The ids of all takedowns as one Redis set, 16 bytes each, with a mark that it is complete.

    A pair is looked up by the ids of all rules that would cover it, in one command. A takedown
    therefore holds in all workers from the moment it is added. The alternative, a set in each
    worker's memory, would learn of a takedown at its next refresh only, and refreshing millions of
    takedowns in every worker is expensive. The mark is a member of the set, so that both are lost
    together.

    An id leaves the set only when a person lifts its takedown. That the dataset lacks it is no
    reason: `sink.prefix` may be a new one, or the bucket was lost.

    Every method raises Retry when Redis or the dataset's store is down. Any thread may call them.
    """

    def __init__(
        self,
        client: redis.Redis,
        key_prefix: str,
        read_ids: Callable[[Collection[str]], Collection[str]],
        read_lifted: Callable[[], Collection[str]] = tuple,
        *,
        compare_s: float = COMPARE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read_ids` returns the ids of all takedowns in the dataset. It is given the known ids,
        whose files it need not read again. It may raise Retry, and Fatal on an unreadable takedown.
        `read_lifted` returns the ids of those that were lifted; one in the dataset holds again.
        """
        self._client = client
        self._key = f"{key_prefix}takedowns"
        self._read_ids = read_ids
        self._read_lifted = read_lifted
        self._compare_s = compare_s
        self._clock = clock
        self._due = clock()
        self._missing = 0
        self._comparing = threading.Lock()

    def add(self, ids: Collection[str]) -> None:
        """Apply these takedowns from now on. The caller has written them to the dataset before."""
        members = map(bytes.fromhex, ids)
        with redis_errors():
            while chunk := list(islice(members, _CHUNK)):
                self._client.sadd(self._key, *chunk)

    def holding(self, ids: Collection[str]) -> set[str]:
        """Those of these takedowns that are applied."""
        asked = list(ids)
        if not asked:
            return set()
        with redis_errors():
            found = self._client.smismember(self._key, list(map(bytes.fromhex, asked)))
        return {each for each, held in zip(asked, cast("list[int]", found), strict=True) if held}

    def lift(self, ids: Collection[str]) -> None:
        """No longer apply these takedowns. The caller has lifted them in the dataset before."""
        with redis_errors():
            self._client.srem(self._key, *map(bytes.fromhex, ids))

    def covering(self, pairs: Sequence[Coverable], *, refused: bool = True) -> list[str | None]:
        """For each pair or source of a text the id of a takedown that covers it, or None.

        With `refused` false, what people refused in the audit does not count. One round trip,
        unless a comparison with the dataset is due. Raises Fatal on an unreadable takedown.
        """
        if not pairs:
            return []
        ids = [
            [
                rule_id(rule)
                for rule in rules_for(pair)
                if refused or rule[0] is not TakedownKind.REFUSED
            ]
            for pair in pairs
        ]
        found = self._look(ids)
        if found is None or self._clock() >= self._due:
            self._compare()
            found = self._look(ids)
        if found is None:
            raise Retry("Redis was emptied while takedowns were read")
        return found

    def rejections(self, pairs: Sequence[RawPair | IngestedPair | CleanPair]) -> dict[int, Reject]:
        """The rejection of each covered pair, by its index. Raises as `covering` does."""
        return {
            at: Reject(Reason.TAKEN_DOWN, f"takedown {takedown_id}")
            for at, takedown_id in enumerate(self.covering(pairs))
            if takedown_id is not None
        }

    def _look(self, ids: Sequence[Sequence[str]]) -> list[str | None] | None:
        """For each list an id of it that is in the set, or None. None if the set is incomplete."""
        members = [_WHOLE, *(bytes.fromhex(each) for listed in ids for each in listed)]
        with redis_errors():
            answers = iter(cast("list[int]", self._client.smismember(self._key, members)))
        if not next(answers):
            return None
        held = [[each for each in listed if next(answers)] for listed in ids]
        return [listed[0] if listed else None for listed in held]

    def _compare(self) -> None:
        """Add the dataset's takedowns to the set, and remove those that were lifted.

        Read the set first, then the lifts, then the takedowns. A takedown is written to the dataset
        before it is added to the set. So an id that is in the set, was lifted and is missing in the
        dataset was not taken down again.
        """
        with self._comparing:
            if self._clock() < self._due and self._look([]) is not None:
                return  # another thread has compared meanwhile
            with redis_errors():
                members = cast("set[bytes]", self._client.smembers(self._key)) - {_WHOLE}
            held = {member.hex() for member in members}
            lifted = set(self._read_lifted())
            wanted = set(self._read_ids(held))
            self.add(wanted - held)
            with redis_errors():
                if withdrawn := (held & lifted) - wanted:
                    self._client.srem(self._key, *map(bytes.fromhex, withdrawn))
                self._client.sadd(self._key, _WHOLE)
            self._tell_missing(len(held - wanted - lifted))
            self._due = self._clock() + self._compare_s

    def _tell_missing(self, count: int) -> None:
        """Log how many takedowns the dataset lacks, when there are more than before."""
        if count > self._missing:
            _log.warning(
                "Redis has takedowns that the data set lacks, perhaps of an earlier sink.prefix: "
                "workers apply them, but readers of this data set do not: copy their files",
                extra={"missing": count},
            )
        self._missing = count
