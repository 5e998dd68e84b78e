"""One input message on its way through the engine, and batches of such messages."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

from kaption.connections.kafka.messages import Outgoing, Partition
from kaption.connections.traceparent import traceparent_of
from kaption.schemas import Position
from kaption.schemas.wire import TRACE_HEADER, WireError, header
from kaption.workers.runtime.stage import Dead, Incoming, Outcome


class Consumed(Protocol):
    """A message as the consumer returns it; the engine reads these fields."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(slots=True, eq=False)
class Entry:
    """A message and what became of it so far."""

    raw: Consumed
    partition: Partition
    epoch: int
    """The partition's epoch when the message was read. See `Ownership`."""
    bytes: int
    """The size of the message's key and value."""
    topic_id: str | None = None
    """The id of the topic that the message was read from; None where the broker tells none."""
    ready: bool = False
    """The message is prepared, or has its outcome already."""
    message: Incoming[Any] | None = None
    prepared: object = None
    size: int = 0
    outcome: Outcome | None = None
    outgoing: Sequence[Outgoing] = ()
    attempts: int = 0
    """How many tries failed."""
    unexpected: bool = False
    """The stage failed with an error other than Dead, so its code may be at fault."""
    own_fault: bool = False
    """`process` failed with this record, and works with the stage's probe."""
    since: int = 0
    """When its preparation began, in nanoseconds of the epoch; 0 without tracing."""
    trace: str | None = None
    """The traceparent of its messages, once its span has begun; None without tracing."""

    @property
    def position(self) -> Position:
        """Topic, partition, offset and topic id of the message."""
        return Position(self.raw.topic, self.raw.partition, self.raw.offset, self.topic_id)

    def die(self, why: str, *, unexpected: bool) -> None:
        """Set the outcome to Dead and free what was prepared."""
        self.outcome = Dead(why)
        self.unexpected = unexpected
        self.attempts = max(1, self.attempts)
        self.prepared = None


def about(entry: Entry) -> dict[str, str]:
    """What names the record in a log line: pair_id, origin and trace_id, as far as known."""
    found: dict[str, str] = {"position": str(entry.position)}
    if entry.message is not None:
        found["pair_id"] = getattr(entry.message.record, "pair_id", "")
        found["origin"] = str(entry.message.origin)
    try:
        parent = traceparent_of(entry.trace or header(entry.raw.headers, TRACE_HEADER))
    except WireError:
        parent = None
    if parent is not None:
        found["trace_id"] = f"{parent.trace_id:032x}"
    return found


class _Current(threading.local):
    entry: Entry | None = None


current = _Current()
"""The record at which this thread is, for the lines that it logs."""


@dataclass(slots=True, eq=False)
class Batch:
    """Entries in offset order per partition. Those without an outcome are to be processed."""

    entries: list[Entry]
    partition: Partition | None = None
    """The partition of all entries, if the stage batches per partition."""
    left: list[Entry] = field(default_factory=list)
    """Entries that were not processed: their partition was lost, or the worker stops."""
    seconds: float = 0.0
    """Time in `Stage.process`."""


class Held:
    """Counts what is read and not committed; belongs to the poll thread."""

    def __init__(self) -> None:
        self._records: Counter[Partition] = Counter()
        self.records = 0
        self.bytes = 0
        self.reached: dict[Partition, int] = {}
        """Per partition the time (ms) of the newest record without one waiting before it, or of
        the first record."""

    def add(self, entries: Sequence[Entry]) -> None:
        """Count entries that were read."""
        self._count(entries, 1)
        for entry in entries:
            self.reached.setdefault(entry.partition, entry.raw.timestamp)

    def release(self, entries: Sequence[Entry]) -> None:
        """Count entries off that are committed, or that this worker gives up."""
        self._count(entries, -1)
        self.reached |= {entry.partition: entry.raw.timestamp for entry in entries}

    @property
    def partitions(self) -> Set[Partition]:
        """The partitions of which anything is held."""
        return self._records.keys()

    def _count(self, entries: Sequence[Entry], sign: int) -> None:
        self.records += sign * len(entries)
        self.bytes += sign * sum(entry.bytes for entry in entries)
        for partition, number in Counter(entry.partition for entry in entries).items():
            self._records[partition] += sign * number
            if not self._records[partition]:
                del self._records[partition]
