"""What a worker has done so far. Reading it costs little while the worker works."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from kaption.connections.errors import Retry
from kaption.workers.runtime import metrics
from kaption.workers.runtime.ages import OldestAges
from kaption.workers.runtime.entry import Batch, Entry, Held
from kaption.workers.runtime.stage import Dead, Emit, Reject

if TYPE_CHECKING:  # a run's progress is shown without the Kafka library
    from kaption.workers.runtime.session import Session

_log = logging.getLogger(__name__)
_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counts of committed outcomes since the worker started."""

    records: int
    emitted: int
    rejected: dict[str, int]
    """Rejected records by reason."""
    dead: int
    topics: dict[str, int]
    """Messages by topic, without prefix, of emitted records."""
    held: int
    """Records that are read and not committed."""
    position: int
    """Sum of the next offsets to read, over the assigned partitions whose offset is known."""
    lag: int
    """Records between the position and the end, over the assigned partitions that tell it."""
    waiting_for: str | None
    """Why the stage waits, from its first Retry to the next commit."""


class Progress:
    """Counts for `stage`. Any thread may call `waits`, `committed` and `snapshot`."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self._lock = Lock()
        self._emitted = 0
        self._dead = 0
        self._rejected: Counter[str] = Counter()
        self._topics: Counter[str] = Counter()
        self.held = Held()
        self.position = 0
        self.lag = 0
        self.waiting_for: str | None = None
        self.last_wait: str | None = None
        """Why the stage waited last, also after it went on or ended."""
        self.ages = OldestAges(stage, self.held)
        self._next = float("-inf")

    def waits(self, error: Retry) -> None:
        """Count a wait. The first one after a commit is logged, so an outage gives one line."""
        metrics.RETRIES.labels(self.stage).inc()
        with self._lock:
            first, self.waiting_for = self.waiting_for is None, str(error)
            self.last_wait = self.waiting_for
        if first:
            _log.warning("waiting", extra={"stage": self.stage, "why": str(error)})

    def committed(self, entries: Iterable[Entry]) -> None:
        """Count entries whose outcome is committed."""
        counted: Counter[tuple[str, str]] = Counter()
        topics: Counter[str] = Counter()
        for entry in entries:
            match entry.outcome:
                case Emit(outputs):
                    for topic, _ in outputs:
                        topics[topic.name] += 1
                    counted["emitted", ""] += 1
                case Reject(reason=reason):
                    counted["rejected", reason.value] += 1
                case Dead():
                    counted["dead", "unexpected" if entry.unexpected else "declared"] += 1
        with self._lock:
            self.waiting_for = None
            self._topics += topics
            for name, count in topics.items():
                metrics.MESSAGES.labels(self.stage, name).inc(count)
            for (outcome, why), count in counted.items():
                metrics.OUTCOMES.labels(self.stage, outcome, why).inc(count)
                if outcome == "rejected":
                    self._rejected[why] += count
                elif outcome == "dead":
                    self._dead += count
                else:
                    self._emitted += count

    def snapshot(self) -> Snapshot:
        """The counts now."""
        with self._lock:
            rejected = dict(self._rejected)
            return Snapshot(
                records=self._emitted + self._dead + sum(rejected.values()),
                emitted=self._emitted,
                rejected=rejected,
                dead=self._dead,
                topics=dict(self._topics),
                held=self.held.records,
                position=self.position,
                lag=self.lag,
                waiting_for=self.waiting_for,
            )

    def show(self, session: Session, now: float) -> None:
        """Update lag, position and the gauges, once a second; `now` in seconds. Poll thread."""
        if now < self._next:
            return
        self._next = now + _EVERY_S
        lags, owned = session.lag(), session.ownership.owned
        positions = {each: session.position(each) for each in owned}
        self.lag = sum(lags.values())
        self.position = sum(filter(None, positions.values()))
        metrics.LAG.labels(self.stage).set(self.lag)
        metrics.HELD_RECORDS.labels(self.stage).set(self.held.records)
        metrics.HELD_BYTES.labels(self.stage).set(self.held.bytes)
        self.ages.show(lags, positions)

    def computed(self, batch: Batch, limit: int | None) -> None:
        """Count a batch; `limit` is the largest batch that fits the device, if one was halved."""
        metrics.BATCH_SECONDS.labels(self.stage).observe(batch.seconds)
        metrics.BATCH_RECORDS.labels(self.stage).observe(len(batch.entries))
        metrics.BATCH_LIMIT.labels(self.stage).set(limit or 0)
