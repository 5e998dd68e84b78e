"""How far a source is published: a committed offset, so that it commits with the records."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import UnknownTopicOrPartitionError

from kaption.connections.settings import KafkaConnection
from kaption.producers.errors import PublishError

METADATA_BYTES = 4096
"""What a broker takes unless its offset.metadata.max.bytes says otherwise."""


class Place(NamedTuple):
    """Where a source is."""

    published: int
    """Records published since its start."""
    cursor: str | None
    """None at the start."""


START = Place(0, None)


class Checkpoint:
    """The place of one source in one topic: a group that has no members, and one offset.

    The offset is the number of records, its metadata the cursor. The broker forgets it, like every
    offset of a group without members, offsets.retention.minutes after it was committed last (7 days
    unless changed): so each run commits it, also one that finds nothing new.
    """

    def __init__(self, connection: KafkaConnection, topic: str, identity: str) -> None:
        """`topic` is the name on the broker."""
        self._connection = connection
        digest = hashlib.sha256(f"{topic}\n{identity}".encode(errors="surrogateescape")).hexdigest()
        self.group = f"{connection.topic_prefix}produce-{digest[:32]}"
        """Also names the transactions, so that a second run fences the first."""
        self._partition = TopicPartition(topic, 0)

    def offsets(self, place: Place) -> Mapping[Any, Any]:
        """What a transaction commits to remember `place`. Raises PublishError."""
        cursor = place.cursor or ""
        if len(cursor.encode()) > METADATA_BYTES:
            raise PublishError(f"the source's cursor is longer than {METADATA_BYTES} bytes")
        return {self._partition: OffsetAndMetadata(place.published, cursor, -1)}

    def read(self, timeout_s: float, *, stable: bool) -> Place:
        """The last committed place; a stable one once no transaction is open on it.

        Raises KafkaError, also where there is no such topic.
        """
        timeout_ms = round(timeout_s * 1000)
        # A new one each time: kafka-python gives late answers of an earlier call to the next one.
        consumer = KafkaConsumer(
            **self._connection.client_config(),
            group_id=self.group,
            enable_auto_commit=False,
            isolation_level="read_committed" if stable else "read_uncommitted",
            allow_auto_create_topics=False,
            bootstrap_timeout_ms=timeout_ms,
        )
        try:
            if not consumer.partitions_for_topic(self._partition.topic):
                # A broker that has just come back says so, too: the caller may ask again.
                raise UnknownTopicOrPartitionError(
                    f"there is no topic {self._partition.topic}: run `kaption topics create`"
                )
            found = consumer.committed(self._partition, metadata=True, timeout_ms=timeout_ms)
        finally:
            consumer.close(autocommit=False)
        return START if found is None else Place(found.offset, found.metadata or None)
