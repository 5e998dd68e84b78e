"""Tombstones: messages without a value, which withdraw what was sent under their keys before."""

from __future__ import annotations

from collections.abc import Iterable

from kaption.connections.kafka.clients import idempotent_producer
from kaption.connections.kafka.library import KafkaError
from kaption.connections.settings import KafkaConnection
from kaption.producers.errors import PublishError
from kaption.schemas import Topic

_DELIVERY_S = 60.0
_CLOSE_S = 10.0


def withdraw(connection: KafkaConnection, topic: Topic, places: Iterable[tuple[int, str]]) -> int:
    """Withdraw pairs, each given by partition and pair_id; returns how many.

    `topic` is compacted, and as in the contract, without prefix. Give the partition that the pair
    was found in: its key leads to another one after partitions were added to the topic. Returns
    when all replicas have all messages. Raises PublishError; tombstones sent by then stand, and
    withdrawing their pairs again does no harm.
    """
    name = topic.prefixed(connection.topic_prefix).name
    try:
        producer = idempotent_producer(
            connection, request_s=_DELIVERY_S / 2, delivery_s=_DELIVERY_S
        )
        try:
            sent = [
                producer.send(name, value=None, key=pair_id.encode(), partition=partition)
                for partition, pair_id in places
            ]
            for each in sent:
                each.get(timeout=2 * _DELIVERY_S)
        finally:
            producer.close(timeout=_CLOSE_S)
    except KafkaError as error:
        raise PublishError(f"{name} at {connection.bootstrap}: {error}; run it again") from error
    return len(sent)
