"""The names of kafka-python that other packages use.

Nothing outside `connections.kafka` imports the library itself: a test reads the imports. So one
folder shows all that depends on its version. The library publishes no types, so that mypy takes
each of these names for Any.
"""

from __future__ import annotations

from kafka import OffsetAndMetadata, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.base import MemberState
from kafka.errors import (
    AuthorizationError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
)

__all__ = [
    "AuthorizationError",
    "ConsumerRebalanceListener",
    "IllegalStateError",
    "KafkaConnectionError",
    "KafkaError",
    "KafkaTimeoutError",
    "MemberState",
    "MessageSizeTooLargeError",
    "OffsetAndMetadata",
    "TopicPartition",
    "UnknownMemberIdError",
    "UnknownTopicOrPartitionError",
]
