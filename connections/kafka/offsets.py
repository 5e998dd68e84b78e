"""Questions to a consumer about offsets, which threads other than its own may ask as well."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaConnectionError, KafkaTimeoutError

from kaption.connections.kafka.internals import forget_offset_fetches
from kaption.connections.kafka.messages import Partition
from kaption.schemas.record import differ


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


@contextmanager
def _told_when_closed() -> Iterator[None]:
    """A consumer that another thread has closed meanwhile fails as if it had lost its broker."""
    try:
        yield
    except RuntimeError as error:
        raise KafkaConnectionError(f"the consumer was closed: {error}") from error
