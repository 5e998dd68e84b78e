"""How far a source is published: a committed offset, so that it commits with the records."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from kaption.connections.kafka.clients import group_offsets
from kaption.connections.kafka.library import TopicPartition, UnknownTopicOrPartitionError
from kaption.connections.kafka.messages import Partition
from kaption.connections.settings import KafkaConnection
from kaption.producers.errors import PublishError

METADATA_BYTES = 4096
"""Most that a broker keeps beside an offset, unless its offset.metadata.max.bytes differs."""


class Place(NamedTuple):
    """A position in a source."""

    published: int
    """Records published since the source's start."""
    cursor: str | None
    """The source's own mark of the place; None at the start."""

    @property
    def metadata(self) -> str:
        """What a transaction commits beside the number of records. Raises PublishError."""
        cursor = self.cursor or ""
        if len(cursor.encode()) > METADATA_BYTES:
            raise PublishError(f"the source's cursor is longer than {METADATA_BYTES} bytes")
        return cursor


START = Place(0, None)


class Checkpoint:
    """The place of one source in one topic: a group that has no members, and one offset.

    The offset is the number of records, its metadata the cursor. Like every offset of a group
    without members, the broker forgets it offsets.retention.minutes after its last commit (7 days
    unless changed). So each run commits it, even a run that finds nothing new.
    """

    def __init__(self, connection: KafkaConnection, topic: str, identity: str) -> None:
        """`topic` is the name on the broker, `identity` the source's."""
        self._connection = connection
        digest = hashlib.sha256(f"{topic}\n{identity}".encode(errors="surrogateescape")).hexdigest()
        self.group = f"{connection.topic_prefix}produce-{digest[:32]}"
        """Also the transactional id, so that a second run over the source fences the first."""
        self.partition = Partition(topic, 0)
        """Where the offset is kept."""

    def read(self, timeout_s: float, *, stable: bool) -> Place:
        """The last committed place; a stable one once no transaction is open on it.

        Raises KafkaError, also where there is no such topic. It may take longer than `timeout_s`
        where the broker freezes: some waits of the library have no limit.
        """
        # A new one each time: kafka-python gives late answers of an earlier call to the next one.
        consumer = group_offsets(self._connection, self.group, timeout_s, stable=stable)
        try:
            if not consumer.partitions_for_topic(self.partition.topic):
                # A broker that has just come back says so too: the caller may ask again.
                raise UnknownTopicOrPartitionError(
                    f"there is no topic {self.partition.topic}: run `kaption topics create`"
                )
            found = consumer.committed(
                TopicPartition(*self.partition), metadata=True, timeout_ms=round(timeout_s * 1000)
            )
        finally:
            consumer.close(autocommit=False)
        return START if found is None else Place(found.offset, found.metadata or None)
