"""What the broker is asked now and then: whether topics can be read, how old what waits is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Thread
from typing import TYPE_CHECKING

from kaption.connections.errors import Fatal
from kaption.connections.kafka.library import KafkaError
from kaption.workers.runtime.backoff import Outage
from kaption.workers.runtime.stop import StopRequest

if TYPE_CHECKING:
    from kaption.workers.runtime.ages import OldestAges
    from kaption.workers.runtime.session import Session

_log = logging.getLogger(__name__)
_EVERY_S = 5.0


class TopicWatch:
    """Asks the broker now and then whether the stage's topics can be read.

    A consumer reports no error where a topic is gone, a partition has no leader or a right was
    taken away: it has no partition then, or waits, and looks like one that has read everything. The
    watch has its own thread, because a question to a broker that is away waits for its time-out.
    It also asks when records were written that wait and are not given.
    """

    def __init__(
        self,
        session: Session,
        ages: OldestAges,
        stop: StopRequest,
        limit_s: float,
        clock: Callable[[], float],
    ) -> None:
        """`limit_s`: seconds after which a topic that cannot be read is an error."""
        self._session = session
        self._ages = ages
        self._stop = stop
        self._limit_s = limit_s
        self._outage = Outage(limit_s, clock)
        self.problem: str | None = None
        """Why the topics cannot be read now."""
        self.error: Fatal | None = None
        """Why waiting will not help. The worker raises it."""

    def start(self) -> None:
        """Look every few seconds until a stop is asked."""
        Thread(target=self._work, name="topic-watch", daemon=True).start()

    def look(self) -> None:
        """Ask once. Raises Fatal."""
        try:
            self.problem = self._session.unreadable_topics()
        except KafkaError as error:
            # This is no outage of the topics: the worker waits for a broker that is away.
            self.problem = f"the broker does not tell its topics: {self._session.told(error)}"
            return
        if self.problem is None:
            self._outage.end()
        elif lasts := self._outage.failed():
            raise Fatal(f"{self.problem} (for {lasts:.0f} s)")

    def date(self) -> None:
        """Ask for the times of records that wait."""
        for partition, unread in self._ages.undated():
            try:
                unread.written = self._session.written_at(partition, unread.position)
            except KafkaError as error:
                extra = {"partition": str(partition), "error": repr(error)}
                _log.info("the broker does not tell how old a record is", extra=extra)

    def _work(self) -> None:
        while not self._stop.wait(min(_EVERY_S, self._limit_s / 4)):
            try:
                self.look()
                self.date()
            except Fatal as error:
                self.error = error
                return
