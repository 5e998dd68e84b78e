"""Prepared entries into batches, each partition's contiguous and in offset order."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator

from kaption.connections.kafka.messages import Partition
from kaption.workers.runtime.entry import Batch, Entry
from kaption.workers.runtime.stage import Batching

# Entries that came out of preparation with their outcome ride along; a batch of only such ones
# must end too.
_RIDERS = 4


class _Open:
    """A batch that fills."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.entries: list[Entry] = []
        self.to_process = 0
        self.bytes = 0


class Batcher:
    """Belongs to the poll thread; `clock` gives monotonic seconds.

    Entries leave in the order of their offsets, partition by partition: a slow record holds up the
    ones behind it in its own partition and nobody else.
    """

    def __init__(self, batching: Batching, clock: Callable[[], float]) -> None:
        self._batching = batching
        self._clock = clock
        self._lines: defaultdict[Partition, deque[Entry]] = defaultdict(deque)
        self._open: dict[Partition | None, _Open] = {}
        self._full: deque[Batch] = deque()

    def add(self, entries: Iterable[Entry]) -> None:
        """Take entries that are being prepared, in offset order per partition."""
        for entry in entries:
            self._lines[entry.partition].append(entry)

    def advance(self, partitions: Iterable[Partition]) -> None:
        """Some entries of these partitions became ready: move what is at the head."""
        for partition in partitions:
            line = self._lines[partition]
            while line and line[0].ready:
                self._put(line.popleft())

    def full(self) -> Iterator[Batch]:
        """Take the batches that are full or have waited long enough, oldest first."""
        oldest = self._clock() - self._batching.max_wait_s
        for key in [key for key, batch in self._open.items() if batch.since <= oldest]:
            self._close(key)
        while self._full:
            yield self._full.popleft()

    def close_largest(self) -> None:
        """End the largest open batch: there is no room left to fill it."""
        if self._open:
            self._close(max(self._open, key=lambda key: len(self._open[key].entries)))

    def close_open(self) -> None:
        """End all open batches."""
        for key in list(self._open):
            self._close(key)

    def drop(self, stale: Callable[[Entry], bool]) -> list[Entry]:
        """Forget entries of partitions that are no longer ours, and return them."""
        dropped: list[Entry] = []
        for line in self._lines.values():
            if line and stale(line[0]):
                dropped += line
                line.clear()
        for key, batch in list(self._open.items()):
            gone = [entry for entry in batch.entries if stale(entry)]
            if gone:
                dropped += gone
                kept = [entry for entry in batch.entries if not stale(entry)]
                del self._open[key]
                for entry in kept:
                    self._put(entry)
        return dropped

    @property
    def open_entries(self) -> int:
        """Entries in batches that fill."""
        return sum(len(batch.entries) for batch in self._open.values())

    @property
    def waiting_entries(self) -> int:
        """Entries in preparation, or behind one that is."""
        return sum(len(line) for line in self._lines.values())

    def _put(self, entry: Entry) -> None:
        limits = self._batching
        key = entry.partition if limits.per_partition else None
        batch = self._open.get(key)
        if batch is None:
            batch = self._open[key] = _Open(self._clock())
        batch.entries.append(entry)
        batch.to_process += entry.outcome is None
        batch.bytes += entry.size
        if (
            batch.to_process >= limits.max_records
            or len(batch.entries) >= _RIDERS * limits.max_records
            or (limits.max_bytes is not None and batch.bytes >= limits.max_bytes)
        ):
            self._close(key)

    def _close(self, key: Partition | None) -> None:
        self._full.append(Batch(self._open.pop(key).entries, key))
