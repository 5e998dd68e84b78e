"""What was read and is not committed yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set

from workers.runtime.entry import Entry, Partition


class Held:
    """Records and bytes, by partition; belongs to the poll thread."""

    def __init__(self) -> None:
        self._records: Counter[Partition] = Counter()
        self.records = 0
        self.bytes = 0

    def add(self, entries: Iterable[Entry]) -> None:
        """Count entries that were read."""
        for entry in entries:
            self._records[entry.partition] += 1
            self.records += 1
            self.bytes += entry.bytes

    def release(self, entries: Iterable[Entry]) -> None:
        """Count entries off: committed, or no longer ours."""
        for entry in entries:
            self._records[entry.partition] -= 1
            if not self._records[entry.partition]:
                del self._records[entry.partition]
            self.records -= 1
            self.bytes -= entry.bytes

    @property
    def partitions(self) -> Set[Partition]:
        """Those with anything held."""
        return self._records.keys()
