"""Makes batches of prepared entries: each partition's are contiguous and in offset order."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from kaption.connections.kafka.messages import Partition
from kaption.workers.runtime.entry import Batch, Entry
from kaption.workers.runtime.stage import Batching

# An entry that was rejected in preparation joins a batch but does not fill it. A batch that gets
# only such entries is full at this many times its size.
_RIDERS = 4


class _Open:
    def __init__(self, since: float) -> None:
        self.since = since
        self.entries: list[Entry] = []
        self.to_process = 0
        self.bytes = 0


class Batcher:
    """Belongs to the poll thread; `clock` gives monotonic seconds.

    The entries of a partition leave in the order of their offsets. A record that is prepared
    slowly therefore holds up the records behind it in its partition, and no other partition.

    With `Batching.any_order` they join batches as they get ready. They stay in the line of their
    partition until they leave it through `computed`, in the order of their offsets.
    """

    def __init__(self, batching: Batching, clock: Callable[[], float]) -> None:
        self._batching = batching
        self._clock = clock
        self._lines: defaultdict[Partition, OrderedDict[Entry, bool]] = defaultdict(OrderedDict)
        """Entries by partition, each with whether it is computed (used with `any_order` alone)."""
        self.parked = 0
        """Entries that are computed and stand behind one that is not."""
        self._open: dict[Partition | None, _Open] = {}
        self._full: deque[Batch] = deque()

    def add(self, entries: Iterable[Entry]) -> None:
        """Add entries that are being prepared, in offset order per partition."""
        for entry in entries:
            self._lines[entry.partition][entry] = False

    def advance(self, chunk: Sequence[Entry]) -> None:
        """Move entries into batches after `chunk` was prepared: the ready ones that may go."""
        if self._batching.any_order:
            for entry in chunk:
                # An entry whose partition was lost meanwhile is in no line.
                if entry.ready and entry in self._lines[entry.partition]:
                    self._put(entry)
            return
        for partition in {entry.partition for entry in chunk}:
            line = self._lines[partition]
            while line and (first := next(iter(line))).ready:
                del line[first]
                self._put(first)

    def computed(self, batch: Batch) -> tuple[list[Entry], list[Entry]]:
        """The entries that may be committed now, and those that nobody counts any more."""
        if not self._batching.any_order:
            return batch.entries, batch.left
        for entry in batch.entries:
            line = self._lines[entry.partition]
            if entry in line:  # else `drop` has returned it
                line[entry] = True
                self.parked += 1
        done: list[Entry] = []
        for partition in {entry.partition for entry in batch.entries}:
            line = self._lines[partition]
            while line and line[first := next(iter(line))]:
                del line[first]
                done.append(first)
        self.parked -= len(done)
        return done, []

    def full(self) -> Iterator[Batch]:
        """Yield the batches that are full or have waited `max_wait_s`, oldest first."""
        oldest = self._clock() - self._batching.max_wait_s
        for key in [key for key, batch in self._open.items() if batch.since <= oldest]:
            self._close(key)
        while self._full:
            yield self._full.popleft()

    def close_largest(self) -> None:
        """Make the open batch with the most entries full."""
        if self._open:
            self._close(max(self._open, key=lambda key: len(self._open[key].entries)))

    def close_open(self) -> None:
        """Make all open batches full."""
        for key in list(self._open):
            self._close(key)

    def drop(self, stale: Callable[[Entry], bool]) -> list[Entry]:
        """Remove and return the entries that are `stale`: their partition was lost."""
        dropped: list[Entry] = []
        for line in self._lines.values():
            if line and stale(next(iter(line))):
                dropped += line
                self.parked -= sum(line.values())
                line.clear()
        for key, batch in list(self._open.items()):
            gone = [entry for entry in batch.entries if stale(entry)]
            if gone:
                if not self._batching.any_order:  # else they were in their line
                    dropped += gone
                kept = [entry for entry in batch.entries if not stale(entry)]
                del self._open[key]
                for entry in kept:
                    self._put(entry)
        return dropped

    def give_up(self, chunk: Iterable[Entry]) -> list[Entry]:
        """Remove and return the entries of `chunk` whose preparation was ended by a stop.

        What stands behind them in their partitions is removed too: a batch may not leave a gap.
        With `any_order` they stay in their line, so nothing behind them leaves it.
        """
        given_up: list[Entry] = []
        for entry in chunk if not self._batching.any_order else ():
            line = self._lines[entry.partition]
            while not entry.ready and entry in line:
                given_up.append(line.popitem()[0])
        return given_up

    @property
    def open_entries(self) -> int:
        """Entries in batches that are not full yet."""
        return sum(len(batch.entries) for batch in self._open.values())

    @property
    def waiting_entries(self) -> int:
        """Entries that are being prepared, or stand behind one that is.

        With `any_order` also those in full batches.
        """
        lines = sum(map(len, self._lines.values()))
        return lines - self.parked - self.open_entries if self._batching.any_order else lines

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
