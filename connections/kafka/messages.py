"""What travels to and from Kafka: messages and where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Partition(NamedTuple):
    """Equal to kafka-python's TopicPartition and of the same hash, but with types.

    The library's own calls insist on a TopicPartition: convert for them.
    """

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it is handed to Kafka."""

    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def size(self) -> int:
        """Bytes in memory, roughly; never less than the message takes on the wire."""
        headers = sum(len(name.encode()) + len(value) + 8 for name, value in self.headers)
        return 512 + len(self.value) + len(self.key or b"") + headers


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A tombstone: what was sent under its key before is withdrawn."""

    key: bytes
    value: None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Outgoing(NamedTuple):
    """A message, and the topic (its name on the broker) that it goes to."""

    topic: str
    message: Message
