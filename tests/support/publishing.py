"""Creates a topic for one test and reads what was published to it."""

import os
from dataclasses import replace

from kaption.connections.settings import KafkaConnection
from kaption.consumers.topic.reader import Read, TopicReader
from kaption.schemas import ImageSource, RawPair, Topic
from kaption.schemas.topics import RAW
from kaption.testing.records import raw_pair
from support.topics import with_topics

TOPIC = replace(RAW, partitions=3)
URL = "https://cdn.example/7.jpg"


def with_topic(bootstrap: str, prefix: str, topic: Topic = TOPIC) -> KafkaConnection:
    return with_topics(bootstrap, prefix, [topic])


def published(connection: KafkaConnection) -> list[Read]:
    with TopicReader(connection, [TOPIC]) as reader:
        return list(reader)


def published_pairs(connection: KafkaConnection) -> list[RawPair]:
    return [read.record for read in published(connection) if isinstance(read.record, RawPair)]


def pair(number: int, text: str = "t") -> RawPair:
    return raw_pair(number, text=text, image=ImageSource(url=URL))


def noisy(number: int, size: int) -> RawPair:
    """Make a pair whose image cannot be compressed."""
    return raw_pair(number, text="t", image=ImageSource(inline=os.urandom(size)))
