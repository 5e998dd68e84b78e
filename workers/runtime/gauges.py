"""What a worker tells its metrics and its `Progress` while it works."""

from __future__ import annotations

from collections.abc import Callable

from kaption.workers.runtime import metrics
from kaption.workers.runtime.entry import Batch, Held
from kaption.workers.runtime.progress import Progress
from kaption.workers.runtime.session import Session

_EVERY_S = 1.0


class Gauges:
    """Belongs to the poll thread; `clock` gives monotonic seconds."""

    def __init__(
        self,
        stage: str,
        session: Session,
        held: Held,
        progress: Progress,
        clock: Callable[[], float],
    ) -> None:
        self._stage = stage
        self._session = session
        self._held = held
        self._progress = progress
        self._clock = clock
        self._next = clock()

    def show(self) -> None:
        """Update lag, position and held records, once a second."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + _EVERY_S
        session, held = self._session, self._held
        lag = sum(session.lag().values())
        self._progress.held, self._progress.lag = held.records, lag
        self._progress.position = sum(filter(None, map(session.position, session.ownership.owned)))
        metrics.LAG.labels(self._stage).set(lag)
        metrics.HELD_RECORDS.labels(self._stage).set(held.records)
        metrics.HELD_BYTES.labels(self._stage).set(held.bytes)

    def computed(self, batch: Batch, limit: int | None) -> None:
        """Count a batch; `limit` is the largest batch that fits the device, if one was halved."""
        metrics.BATCH_SECONDS.labels(self._stage).observe(batch.seconds)
        metrics.BATCH_RECORDS.labels(self._stage).observe(len(batch.entries))
        metrics.BATCH_LIMIT.labels(self._stage).set(limit or 0)

    def partitions_changed(self, changes: int) -> None:
        """Count partitions that were assigned or lost."""
        metrics.REBALANCES.labels(self._stage).inc(changes)
