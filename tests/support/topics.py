"""The topics of one test, and the settings with which a command finds them."""

from collections.abc import Sequence
from dataclasses import replace

from kaption.connections.kafka.topics import TopicAdmin
from kaption.connections.settings import KafkaConnection
from kaption.schemas import TOPICS, Topic

SMALL = [replace(topic, partitions=2) for topic in TOPICS]


def with_topics(bootstrap: str, prefix: str, topics: Sequence[Topic] = SMALL) -> KafkaConnection:
    """Create the topics; without a choice all of the pipeline, with two partitions each."""
    connection = KafkaConnection(bootstrap=bootstrap, topic_prefix=prefix)
    with TopicAdmin(connection) as admin:
        admin.create(topics)
    return connection


def environment(connection: KafkaConnection) -> dict[str, str]:
    return {
        "KAPTION_KAFKA__BOOTSTRAP": connection.bootstrap,
        "KAPTION_KAFKA__TOPIC_PREFIX": connection.topic_prefix,
    }
