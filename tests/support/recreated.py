"""Deletes a topic and creates it again under its name, as an operator does."""

from __future__ import annotations

import time
from collections.abc import Sequence

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from kaption.connections.kafka.clients import client_config
from kaption.connections.settings import KafkaConnection
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.store import ObjectStore
from kaption.schemas import CleanPair, Topic, Versioned
from kaption.schemas.wire import encode, headers_of
from support.sink_records import stored

PARTITIONS = 3
LIMIT_S = 30.0


def create(connection: KafkaConnection, *topics: Topic) -> None:
    """Create topics of `PARTITIONS` partitions."""
    admin = KafkaAdminClient(bootstrap_servers=connection.bootstrap)
    names = [topic.prefixed(connection.topic_prefix) for topic in topics]
    admin.create_topics(
        [NewTopic(topic.name, PARTITIONS, 1, topic_configs=topic.config()) for topic in names]
    )
    admin.close()


def recreate(connection: KafkaConnection, topic: Topic) -> None:
    """Delete the topic, wait until it is gone, create it again."""
    name = connection.topic_prefix + topic.name
    admin = KafkaAdminClient(bootstrap_servers=connection.bootstrap)
    admin.delete_topics([name])
    deadline = time.monotonic() + LIMIT_S
    while name in admin.list_topics():
        assert time.monotonic() < deadline, f"{name} is not deleted"
        time.sleep(0.02)
    admin.close()
    create(connection, topic)


def clean(objects: ObjectStore, numbers: range) -> list[CleanPair]:
    """Make clean pairs whose images are in the object store."""
    blobs = BlobStore(objects)
    return [stored(blobs, number).record for number in numbers]


def send(connection: KafkaConnection, topic: Topic, records: Sequence[Versioned]) -> None:
    """Send the records to the partitions in turn, each under its pair_id."""
    producer = KafkaProducer(**client_config(connection), acks="all", linger_ms=5)
    for number, record in enumerate(records):
        producer.send(
            connection.topic_prefix + topic.name,
            encode(record),
            key=str(getattr(record, "pair_id", number)).encode(),
            headers=headers_of(record),
            partition=number % PARTITIONS,
        )
    producer.flush()
    producer.close()
