"""What was read and is not committed yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set

from workers.runtime.entry import Entry, Partition


class Held:
    """Records and bytes, by partition; belongs to the poll thread."""

    def __init__(self) -> None:
        self._records: Counter[Partition] = Counter()
        self.records = 0
        self.bytes = 0

    def add(self, entries: Sequence[Entry]) -> None:
        """Count entries that were read."""
        self._count(entries, 1)

    def release(self, entries: Sequence[Entry]) -> None:
        """Count entries off: committed, or no longer ours."""
        self._count(entries, -1)

    @property
    def partitions(self) -> Set[Partition]:
        """Those with anything held."""
        return self._records.keys()

    def _count(self, entries: Sequence[Entry], sign: int) -> None:
        self.records += sign * len(entries)
        self.bytes += sign * sum(entry.bytes for entry in entries)
        for partition, number in Counter(entry.partition for entry in entries).items():
            self._records[partition] += sign * number
            if not self._records[partition]:
                del self._records[partition]
