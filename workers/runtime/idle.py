"""Which positions to commit where nothing is in work."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from kaption.connections.kafka.messages import Partition
from kaption.workers.runtime.session import Session

Reached = Mapping[Partition, tuple[int, int]]
"""The epoch of each partition, and the position reached in it."""


class IdlePositions:
    """A transaction leaves a marker in its topics that no consumer is given, but that counts as
    lag: a group that has done everything would never reach lag 0. So the position behind the
    markers is committed where a partition is idle; a new group's first position too, so that its
    lag is known before its first batch.

    `Delivery` commits them, in a transaction like any other: a plain commit that is answered late,
    or with an error, may still be carried out after the next transaction, and what that had
    committed would be done again.
    """

    def __init__(self, session: Session, every_s: float, clock: Callable[[], float]) -> None:
        self._session = session
        self._every_s = every_s
        self._clock = clock
        self._next = clock()
        self._committed: dict[Partition, tuple[int, int]] = {}

    def moved(self, idle: Collection[Partition]) -> Reached:
        """Those of `idle` that moved since they were committed; looked at every `every_s` s."""
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
        """These need not be committed again."""
        self._committed |= reached
