"""How pairs get in: the publisher, and the sources it can be fed from."""

from producers.async_publisher import AsyncPublisher
from producers.errors import (
    BufferFullError,
    ClosedError,
    DeliveryError,
    Failure,
    ForkedError,
    Message,
    PublishError,
    SpoolError,
    StillSpooledError,
    TooLargeError,
)
from producers.identity import pair_id
from producers.publisher import Publisher
from producers.refused import refused

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
    "SpoolError",
    "StillSpooledError",
    "TooLargeError",
    "pair_id",
    "refused",
]
