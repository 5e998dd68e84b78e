"""The names of kafka-python that other packages use.

Nothing outside `connections.kafka` imports the library itself, so that one folder shows all that
depends on its version. It publishes no types: mypy takes each of these names for Any.
"""

from __future__ import annotations

from kafka import OffsetAndMetadata as OffsetAndMetadata
from kafka import TopicPartition as TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener as ConsumerRebalanceListener
from kafka.coordinator.base import MemberState as MemberState
from kafka.errors import AuthorizationError as AuthorizationError
from kafka.errors import IllegalStateError as IllegalStateError
from kafka.errors import KafkaConnectionError as KafkaConnectionError
from kafka.errors import KafkaError as KafkaError
from kafka.errors import KafkaTimeoutError as KafkaTimeoutError
from kafka.errors import MessageSizeTooLargeError as MessageSizeTooLargeError
from kafka.errors import UnknownMemberIdError as UnknownMemberIdError
from kafka.errors import UnknownTopicOrPartitionError as UnknownTopicOrPartitionError
