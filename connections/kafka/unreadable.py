"""A batch of the log that cannot be read, and what stands for it when it is passed over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafka.errors import KafkaError

from kaption.connections.kafka.messages import Partition

REPAIR = (
    "make another replica the leader of this partition, or delete its records up to there"
    " (kafka-delete-records.sh)"
)
"""What an operator can do on the broker."""


class UnreadableBatch(KafkaError):  # type: ignore[misc]  # kafka-python is untyped
    """A batch is damaged, or compressed in a way that the library does not know.

    The consumer stays usable. It reads the same batch again with the next poll, unless the
    partition is paused or moved.
    """

    def __init__(self, partition: Partition, first: int, last: int | None, why: str) -> None:
        """`first`: the offset that is to be read next. `last` is None where nobody can tell it."""
        super().__init__(why)
        self.partition = partition
        self.first = first
        self.last = last

    def __str__(self) -> str:
        place = f"{self.partition.topic}/{self.partition.partition} cannot be read at offset"
        end = f" (its batch ends at offset {self.last})" if self.last is not None else ""
        return f"{place} {self.first}{end}: {self.args[0]}"


@dataclass(slots=True)
class PassedOver:
    """Stands for the messages of a batch that cannot be read."""

    topic: str
    partition: int
    offset: int
    """The last one of the batch: reading goes on behind it."""
    timestamp: int
    value: bytes | None
    """The batch as it is in the log."""
    headers: Sequence[tuple[str, bytes | None]]
    why: str
    key: bytes | None = None
