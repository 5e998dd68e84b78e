"""Committing the position where nothing is in work."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import structlog

from workers.runtime.entry import Partition
from workers.runtime.kafka.session import Session

_log = structlog.get_logger(__name__)


class IdlePositions:
    """A transaction leaves a marker in its topics that no consumer is given, but that counts as
    lag: a group that has done everything would never reach lag 0. So the position behind the
    markers is committed where a partition is idle; a new group's first position too, so that its
    lag is known before its first batch.
    """

    def __init__(
        self,
        session: Session,
        every_s: float,
        request_timeout_s: float,
        clock: Callable[[], float],
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        """`later` runs a call on the poll thread."""
        self._session = session
        self._every_s = every_s
        self._clock = clock
        self._later = later
        self._next = clock()
        self._request_timeout_s = request_timeout_s
        self._answer_due: float | None = None
        self._known: dict[Partition, tuple[int, int]] = {}

    @property
    def under_way(self) -> bool:
        """A commit has been sent and its answer may still come.

        No transaction may begin until then: overtaken by one, the older position would be what is
        committed, and records would be done again.
        """
        return self._answer_due is not None and self._clock() < self._answer_due

    def step(self, idle: Collection[Partition]) -> None:
        """Commit positions of `idle` partitions that moved, without waiting."""
        now = self._clock()
        if now < self._next or self.under_way:
            return
        self._next = now + self._every_s
        moved: dict[Partition, tuple[int, int]] = {}
        for partition in idle:
            position = self._session.position(partition)
            at = (self._session.ownership.epoch(partition), position or 0)
            if position is not None and self._known.get(partition) != at:
                moved[partition] = at
        if moved and self._session.group_metadata() is not None:
            self._answer_due = now + self._request_timeout_s
            self._session.commit_positions(
                {partition: position for partition, (_, position) in moved.items()},
                lambda _, answer: self._later(lambda: self._done(moved, answer)),
            )

    def _done(self, moved: dict[Partition, tuple[int, int]], answer: Any) -> None:
        self._answer_due = None
        if isinstance(answer, Exception):
            # A rebalance, mostly: the next round asks again.
            _log.debug("positions not committed", error=repr(answer))
        else:
            self._known |= moved
