"""Messages held back for a while, so that a later message of the same pair can replace them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from kaption.schemas import CleanPair, Position


class WindowEntry(NamedTuple):
    """One message on its way to the training loop."""

    position: Position
    pair_id: str
    pair: CleanPair | None
    skip: str | None = None
    """Why it gives no sample: ``replaced``, ``tombstone``, ``malformed``. None: it gives one."""


class RecordWindow:
    """Holds the messages of the last `offsets` offsets of each partition.

    A message is released when one of its partition arrives that is more than `offsets` later. It is
    marked as replaced if another message of the same pair arrived until then: the last one holds,
    as in Kafka's own compaction. So what is released depends on the log alone, not on when it was
    read.
    """

    def __init__(self, offsets: int) -> None:
        self._offsets = offsets
        self._held: dict[int, deque[WindowEntry]] = {}
        self._last: dict[tuple[int, str], int] = {}

    def add(self, held: WindowEntry) -> Iterator[WindowEntry]:
        """Hold a message. Give those that it releases, in the order of their offsets."""
        partition, offset = held.position.partition, held.position.offset
        queue = self._held.setdefault(partition, deque())
        queue.append(held)
        self._last[partition, held.pair_id] = offset
        while queue[0].position.offset + self._offsets < offset:
            yield self._released(queue.popleft())

    def flush(self) -> Iterator[WindowEntry]:
        """Release everything."""
        for queue in self._held.values():
            while queue:
                yield self._released(queue.popleft())

    def _released(self, held: WindowEntry) -> WindowEntry:
        key, offset = (held.position.partition, held.pair_id), held.position.offset
        if self._last[key] != offset:
            return held._replace(skip="replaced")
        del self._last[key]
        return held
