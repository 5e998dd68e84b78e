"""How pairs get into Kafka: publishers for a crawler, sources for pairs that are stored."""

from kaption.connections.kafka.messages import Message
from kaption.producers.async_publisher import AsyncPublisher
from kaption.producers.errors import (
    BufferFullError,
    ClosedError,
    DeliveryError,
    Failure,
    ForkedError,
    PublishError,
    SpoolError,
    StillSpooledError,
    TooLargeError,
)
from kaption.producers.identity import pair_id
from kaption.producers.options import PublisherOptions
from kaption.producers.publisher import Publisher
from kaption.producers.spool.refused import refused

__all__ = [
    "AsyncPublisher",
    "BufferFullError",
    "ClosedError",
    "DeliveryError",
    "Failure",
    "ForkedError",
    "Message",
    "PublishError",
    "Publisher",
    "PublisherOptions",
    "SpoolError",
    "StillSpooledError",
    "TooLargeError",
    "pair_id",
    "refused",
]
