"""One input message on its way through the engine, and batches of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

from kaption.connections.kafka.messages import Outgoing, Partition
from kaption.schemas import Position
from kaption.workers.runtime.stage import Dead, Incoming, Outcome


class Consumed(Protocol):
    """What the engine reads of a consumed message."""

    @property
    def topic(self) -> str: ...  # noqa: D102 - the broker's term
    @property
    def partition(self) -> int: ...  # noqa: D102 - the broker's term
    @property
    def offset(self) -> int: ...  # noqa: D102 - the broker's term
    @property
    def timestamp(self) -> int: ...  # noqa: D102 - the broker's term
    @property
    def key(self) -> bytes | None: ...  # noqa: D102 - the broker's term
    @property
    def value(self) -> bytes | None: ...  # noqa: D102 - the broker's term
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...  # noqa: D102 - the broker's term


@dataclass(slots=True, eq=False)
class Entry:
    """A message, what became of it so far, and the epoch of its partition when it was read."""

    raw: Consumed
    partition: Partition
    epoch: int
    bytes: int
    ready: bool = False
    """Prepared, or has its outcome already."""
    message: Incoming[Any] | None = None
    prepared: object = None
    size: int = 0
    outcome: Outcome | None = None
    outgoing: Sequence[Outgoing] = ()
    attempts: int = 0
    """Tries that failed."""
    unexpected: bool = False
    """Dead by an error that nobody declared."""

    @property
    def position(self) -> Position:
        """Where the message is."""
        return Position(self.raw.topic, self.raw.partition, self.raw.offset)

    def die(self, why: str, *, unexpected: bool) -> None:
        """Set the outcome Dead; `prepared` is let go."""
        self.outcome = Dead(why)
        self.unexpected = unexpected
        self.attempts = max(1, self.attempts)
        self.prepared = None


@dataclass(slots=True, eq=False)
class Batch:
    """Entries in offset order per partition; those without an outcome are to be processed."""

    entries: list[Entry]
    partition: Partition | None = None
    """The only one, where the stage batches per partition."""
    left: list[Entry] = field(default_factory=list)
    """Not processed: no longer ours, or given up."""
    seconds: float = 0.0
    """In `process`."""


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
