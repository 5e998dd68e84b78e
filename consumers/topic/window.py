"""Records held back for a while, so that a later message of the same pair can replace them."""

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
    """Why it is not given: ``replaced``, ``tombstone``, ``malformed``."""


class RecordWindow:
    """The last messages of each partition, `offsets` wide.

    What is let out depends on the log alone, not on when it was read: a message goes when one of
    its partition follows that is more than `offsets` later, unless one of the same pair followed
    until then. The last message wins, as in Kafka's own compaction.
    """

    def __init__(self, offsets: int) -> None:
        self._offsets = offsets
        self._held: dict[int, deque[WindowEntry]] = {}
        self._last: dict[tuple[int, str], int] = {}

    def add(self, held: WindowEntry) -> Iterator[WindowEntry]:
        """Hold a message, and let go what it pushes out, in offset order."""
        partition, offset = held.position.partition, held.position.offset
        queue = self._held.setdefault(partition, deque())
        queue.append(held)
        self._last[partition, held.pair_id] = offset
        while queue[0].position.offset + self._offsets < offset:
            yield self._released(queue.popleft())

    def flush(self) -> Iterator[WindowEntry]:
        """Let everything go."""
        for queue in self._held.values():
            while queue:
                yield self._released(queue.popleft())

    def _released(self, held: WindowEntry) -> WindowEntry:
        key, offset = (held.position.partition, held.pair_id), held.position.offset
        if self._last[key] != offset:
            return held._replace(skip="replaced")
        del self._last[key]
        return held
