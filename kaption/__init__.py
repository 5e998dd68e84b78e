"""Kaption turns scraped image-text pairs into aligned training pairs while the crawl is running.

What crawlers, readers and training use is here, each imported at first use: a crawler that only
publishes loads neither torch nor the clients of Redis and S3.
"""

from __future__ import annotations

# This is typing.TYPE_CHECKING for type checkers. What is imported here is loaded before the program
# `kaption` can handle a Ctrl-C.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kaption.connections.settings import KafkaConnection, StoreConnection
    from kaption.consumers.shards.stream import ShardStream
    from kaption.consumers.topic.reader import TopicReader
    from kaption.consumers.topic.stream import TopicStream
    from kaption.consumers.training.batches import TrainingBatches
    from kaption.producers.async_publisher import AsyncPublisher
    from kaption.producers.publisher import Publisher
    from kaption.schemas.pair import CleanPair, RawPair

__all__ = [
    "AsyncPublisher",
    "CleanPair",
    "KafkaConnection",
    "Publisher",
    "RawPair",
    "ShardStream",
    "StoreConnection",
    "TopicReader",
    "TopicStream",
    "TrainingBatches",
]

_HOMES = {
    "AsyncPublisher": "kaption.producers.async_publisher",
    "CleanPair": "kaption.schemas.pair",
    "KafkaConnection": "kaption.connections.settings",
    "Publisher": "kaption.producers.publisher",
    "RawPair": "kaption.schemas.pair",
    "ShardStream": "kaption.consumers.shards.stream",
    "StoreConnection": "kaption.connections.settings",
    "TopicReader": "kaption.consumers.topic.reader",
    "TopicStream": "kaption.consumers.topic.stream",
    "TrainingBatches": "kaption.consumers.training.batches",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
