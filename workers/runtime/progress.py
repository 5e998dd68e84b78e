"""What a worker has done so far, cheap to read while it works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

from kaption.workers.runtime import metrics
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.stage import Dead, Emit, Reject


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counts of committed outcomes since the worker started."""

    records: int
    emitted: int
    rejected: dict[str, int]
    """By reason."""
    dead: int
    topics: dict[str, int]
    """Messages by topic, without prefix, of emitted records."""
    held: int
    """Read and not committed."""
    position: int
    """Next offsets to read of the assigned partitions, where known, added up."""
    lag: int
    """Behind the end of the assigned partitions, as far as known."""
    waiting_for: str | None
    """What is down, while the stage waits for it."""


class Progress:
    """Counts for `stage`; every method may be called from any thread."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._lock = Lock()
        self._emitted = 0
        self._dead = 0
        self._rejected: Counter[str] = Counter()
        self._topics: Counter[str] = Counter()
        self.held = 0
        self.position = 0
        self.lag = 0
        self.waiting_for: str | None = None

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
            self._topics += topics
            for (outcome, why), count in counted.items():
                metrics.OUTCOMES.labels(self._stage, outcome, why).inc(count)
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
                held=self.held,
                position=self.position,
                lag=self.lag,
                waiting_for=self.waiting_for,
            )
