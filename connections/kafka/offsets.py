"""Questions about offsets, which threads other than the consumer's own may ask as well."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from kafka import TopicPartition
from kafka.errors import (
    CorruptRecordError,
    InvalidRecordError,
    KafkaConnectionError,
    KafkaTimeoutError,
    UnknownError,
)

from kaption.connections.kafka.clients import admin_client
from kaption.connections.kafka.internals import forget_offset_fetches
from kaption.connections.kafka.messages import Partition
from kaption.connections.settings import KafkaConnection
from kaption.schemas.record import differ

_PRECISION_MS = 1000


def committed_offsets(
    consumer: Any, partitions: Collection[Partition], timeout_s: float, topic_ids: Mapping[str, str]
) -> dict[Partition, int | None]:
    """Stable committed offsets of the consumer's group; None where nothing was ever committed.

    None also where the offset was committed for another topic id: its metadata names the id. The
    broker forgets offsets with their topic, but a commit may be late. `topic_ids` by topic.
    With read_committed the broker answers UNSTABLE_OFFSET_COMMIT while a transaction is open on an
    offset, and the client asks again. Raises KafkaTimeoutError.
    """
    forget_offset_fetches(consumer)
    deadline = time.monotonic() + timeout_s
    offsets: dict[Partition, int | None] = {}
    for partition in partitions:
        left_ms = max(1, round((deadline - time.monotonic()) * 1000))
        try:
            with _told_when_closed():
                found = consumer.committed(
                    TopicPartition(*partition), metadata=True, timeout_ms=left_ms
                )
        except KafkaTimeoutError as error:
            raise KafkaTimeoutError(
                f"no stable offset of {partition.topic}/{partition.partition} is committed for "
                f"{consumer.config['group_id']}: the broker does not answer, or a transaction "
                "hangs (`kafka-transactions.sh find-hanging` and `abort`)"
            ) from error
        ours = found and not differ(found.metadata or None, topic_ids.get(partition.topic))
        offsets[partition] = found.offset if ours else None
    return offsets


def log_start(consumer: Any, partition: Partition, timeout_s: float) -> int:
    """The first offset that the log still holds. Raises KafkaError."""
    topic_partition = TopicPartition(*partition)
    with _told_when_closed():
        offsets = consumer.beginning_offsets([topic_partition], timeout_ms=round(timeout_s * 1000))
    return int(offsets[topic_partition])


def written_at(
    connection: KafkaConnection, partition: Partition, offset: int, timeout_s: float
) -> float | None:
    """When the record at an offset was written, in seconds of Unix time, to the second.

    The broker tells it also of a record that it does not give: it is asked which offset comes first
    at a time, and the times are halved, in at most 33 calls. To fetch the record was rejected: a
    batch that nobody can read, or that is not there any more, has no time then. Where no time leads
    to the offset, this is when the record before it was written. None where the broker cannot tell.
    Raises KafkaError.
    """
    place = TopicPartition(*partition)
    now_ms = round(time.time() * 1000)
    early, late, asked = -1, now_ms, 0
    with closing(admin_client(connection, timeout_s)) as client:
        while late - early > _PRECISION_MS:
            try:
                found = client.list_partition_offsets({place: asked})[place]
            except (CorruptRecordError, InvalidRecordError, UnknownError):
                # The time leads to a batch that the broker itself cannot read.
                early = asked
            else:
                if found.offset == offset:
                    return float(found.timestamp / 1000)
                if 0 <= found.offset < offset:
                    early = max(asked, found.timestamp)
                else:
                    late = asked
            asked = (early + late) // 2
    return early / 1000 if early > 0 and late < now_ms else None


@contextmanager
def _told_when_closed() -> Iterator[None]:
    """A consumer that another thread has closed meanwhile fails as if it had lost its broker."""
    try:
        yield
    except RuntimeError as error:
        raise KafkaConnectionError(f"the consumer was closed: {error}") from error
