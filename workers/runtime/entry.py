"""One input message on its way through the engine, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from schemas import Position
from workers.runtime.stage import Dead, Message, Outcome


class Partition(NamedTuple):
    """Equal to kafka-python's TopicPartition, without importing it."""

    topic: str
    partition: int


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


class Outgoing(NamedTuple):
    """One message to be sent; `topic` with its prefix."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass(slots=True, eq=False)
class Entry:
    """A message, what became of it so far, and the epoch of its partition when it was read."""

    raw: Consumed
    partition: Partition
    epoch: int
    bytes: int
    ready: bool = False
    """Prepared, or has its outcome already."""
    message: Message[Any] | None = None
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
