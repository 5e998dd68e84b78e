"""How old the oldest record is that waits in each partition, as `/metrics` shows it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from kaption.connections.kafka.messages import Partition
from kaption.workers.runtime import metrics
from kaption.workers.runtime.entry import Held

# Records that wait for as long are not on their way. The broker is asked how old the first one is,
# and in a minute at the earliest once more.
_LATE_S = 15.0
_ASK_AGAIN_S = 60.0
# If the broker has not told it by then, the time is taken for which this worker saw them wait: with
# 0 a partition that stands would look as one where none waits.
_UNTOLD_S = 30.0


@dataclass(slots=True)
class Unread:
    """Records that wait in a partition of which none is held. Times in seconds of Unix time."""

    position: int
    """The offset of the first one."""
    seen: float
    """When they were seen to wait."""
    ask_at: float
    """When to ask the broker for `written`."""
    written: float | None = None
    """When the first one was written, as the broker tells."""


class OldestAges:
    """Belongs to the poll thread, but for `undated`."""

    def __init__(self, stage: str, held: Held) -> None:
        self._stage = stage
        self._held = held
        self._shown: set[Partition] = set()
        self._unread: dict[Partition, Unread] = {}

    def show(
        self, lags: Mapping[Partition, int], positions: Mapping[Partition, int | None]
    ) -> None:
        """Update the gauge; `positions` of all partitions that are owned.

        What is not known yet is left as it was. A 0 would say that no record waits, and one after
        each restart would hide from the alert that a partition stands.
        """
        for gone in self._shown - positions.keys():
            self._forget(gone)
            metrics.OLDEST_AGE.remove(self._stage, gone.topic, str(gone.partition))
        self._shown &= positions.keys()
        for partition, position in positions.items():
            age = self._age(partition, lags.get(partition), position)
            if age is not None:
                self._shown.add(partition)
                place = partition.topic, str(partition.partition)
                metrics.OLDEST_AGE.labels(self._stage, *place).set(max(0.0, age))

    def undated(self) -> list[tuple[Partition, Unread]]:
        """Where the broker is to be asked now when the first record was written. Any thread.

        Who asks sets `written`.
        """
        now = time.time()
        found = [
            (partition, unread)
            for partition, unread in self._unread.copy().items()
            if unread.written is None and unread.ask_at <= now
        ]
        for _, unread in found:
            unread.ask_at = now + _ASK_AGAIN_S
        return found

    def _age(self, partition: Partition, lag: int | None, position: int | None) -> float | None:
        now, held = time.time(), partition in self._held.partitions
        if not held and lag == 0:
            self._forget(partition)
            return 0.0
        since = None
        if not held and lag and position is not None:
            unread = self._waits(partition, position, now)
            if unread.written is not None:
                return now - unread.written
            since = unread.seen if now >= unread.seen + _UNTOLD_S else None
        if (at := self._held.reached.get(partition)) is not None:
            return now - at / 1000 if at >= 0 else 0.0  # -1: it has no time
        return None if since is None else now - since

    def _waits(self, partition: Partition, position: int, now: float) -> Unread:
        unread = self._unread.get(partition)
        if unread is None or unread.position != position:
            ask_at = max(now + _LATE_S, unread.ask_at if unread is not None else 0.0)
            unread = self._unread[partition] = Unread(position, now, ask_at)
        return unread

    def _forget(self, partition: Partition) -> None:
        self._held.reached.pop(partition, None)
        self._unread.pop(partition, None)
