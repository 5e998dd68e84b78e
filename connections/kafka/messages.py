"""What travels to and from Kafka: messages and where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Partition(NamedTuple):
    """Equal to kafka-python's TopicPartition, without importing it."""

    topic: str
    partition: int


class Outgoing(NamedTuple):
    """One message to be sent; `topic` with its prefix."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it is handed to Kafka."""

    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def size(self) -> int:
        """Bytes in memory, roughly, and at least what a message takes on the wire."""
        headers = sum(len(name.encode()) + len(value) + 8 for name, value in self.headers)
        return 512 + len(self.value) + len(self.key or b"") + headers
