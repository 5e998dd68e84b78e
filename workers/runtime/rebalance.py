"""Which partitions this worker owns, and since which assignment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from threading import Lock

from kaption.connections.kafka.library import ConsumerRebalanceListener, TopicPartition
from kaption.connections.kafka.messages import Partition
from kaption.workers.runtime.entry import Entry


class Ownership:
    """The owned partitions, with an epoch each that rises at every assignment and every loss.

    An entry carries the epoch under which it was read. Once its partition has a higher one, the
    entry is dropped for good: another worker may have processed it meanwhile.

    All methods may be called from any thread. `RebalanceListener` calls from the client's I/O
    thread, where a blocking call would raise.
    """

    def __init__(self, assigned: Callable[[Collection[TopicPartition]], None]) -> None:
        """`assigned` gets new partitions before any record of them is read. It must not block."""
        self._assigned = assigned
        self._lock = Lock()
        self._epochs: dict[Partition, int] = {}
        self._owned: set[Partition] = set()
        self._fresh: list[tuple[Partition, int]] = []
        self._changes = 0

    def assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Note new partitions."""
        with self._lock:
            for topic_partition in assigned:
                partition = Partition(*topic_partition)
                self._raise(partition)
                self._owned.add(partition)
                self._fresh.append((partition, self._epochs[partition]))
            self._assigned(assigned)

    def revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Note partitions that go to another worker."""
        with self._lock:
            for topic_partition in revoked:
                partition = Partition(*topic_partition)
                self._raise(partition)
                self._owned.discard(partition)

    @property
    def owned(self) -> frozenset[Partition]:
        """The partitions assigned now."""
        with self._lock:
            return frozenset(self._owned)

    @property
    def changes(self) -> int:
        """A number that rises with every assignment and loss."""
        return self._changes

    def epoch(self, partition: Partition) -> int:
        """The partition's present epoch; 0 if it was never assigned."""
        with self._lock:
            return self._epochs.get(partition, 0)

    def holds(self, entry: Entry) -> bool:
        """Whether the entry was read under the present assignment of its partition."""
        with self._lock:
            return entry.partition in self._owned and self._epochs[entry.partition] == entry.epoch

    def take_fresh(self) -> list[tuple[Partition, int]]:
        """Partitions assigned since the last call, with their epochs."""
        with self._lock:
            fresh, self._fresh = self._fresh, []
            return fresh

    def _raise(self, partition: Partition) -> None:
        self._epochs[partition] = self._epochs.get(partition, 0) + 1
        self._changes += 1


class RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Tells `Ownership` what one consumer is assigned, until that consumer is left behind.

    A consumer that is left behind may take longer to close than its successor needs to get the
    same partitions, so its late news must not count.
    """

    def __init__(self, ownership: Ownership) -> None:
        self._ownership: Ownership | None = ownership

    def leave(self) -> None:
        """Ignore what happens to the consumer from now on."""
        self._ownership = None

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Called by the client with new partitions."""
        if self._ownership is not None:
            self._ownership.assigned(assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Called by the client with partitions that go to another worker."""
        if self._ownership is not None:
            self._ownership.revoked(revoked)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Called by the client with partitions that another worker already has."""
        self.on_partitions_revoked(lost)
