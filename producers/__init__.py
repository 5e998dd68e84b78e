"""How pairs get in: the publisher, and the sources it can be fed from."""

from producers.errors import (
    BufferFullError,
    DeliveryError,
    Failure,
    Message,
    PublishError,
    TooLargeError,
)
from producers.identity import pair_id
from producers.publisher import Publisher

__all__ = [
    "BufferFullError",
    "DeliveryError",
    "Failure",
    "Message",
    "PublishError",
    "Publisher",
    "TooLargeError",
    "pair_id",
]
