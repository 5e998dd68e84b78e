"""Which positions to commit for partitions of which no record is in work."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from kaption.connections.kafka.messages import Partition
from kaption.workers.runtime.session import Session

Reached = Mapping[Partition, tuple[int, int]]
"""The epoch of each partition, and the position reached in it."""


class IdlePositions:
    """Finds the positions of idle partitions that changed since they were committed.

    Without them the lag never reaches 0: each transaction leaves a marker in its topics, which
    counts as lag and which no consumer is given. A new group commits its first positions too, so
    that its lag is known before its first batch.

    `Delivery` commits them in a transaction. A plain commit was rejected: after a late answer or
    an error the broker may carry it out behind the next transaction, and so take offsets back.
    """

    def __init__(self, session: Session, every_s: float, clock: Callable[[], float]) -> None:
        self._session = session
        self._every_s = every_s
        self._clock = clock
        self._next = clock()
        self._committed: dict[Partition, tuple[int, int]] = {}

    def moved(self, idle: Collection[Partition]) -> Reached:
        """The positions of `idle` to commit; empty more often than every `every_s` seconds."""
        now = self._clock()
        if now < self._next:
            return {}
        self._next = now + self._every_s
        moved: dict[Partition, tuple[int, int]] = {}
        for partition in idle:
            position = self._session.position(partition)
            if position is not None:
                at = (self._session.ownership.epoch(partition), position)
                if self._committed.get(partition) != at:
                    moved[partition] = at
        return moved

    def committed(self, reached: Reached) -> None:
        """Take note that these are committed, so that they are not offered again."""
        self._committed |= reached
