"""Messages without a value: what was sent under their keys before is withdrawn."""

from __future__ import annotations

from collections.abc import Iterable

from kafka import KafkaProducer
from kafka.errors import KafkaError

from kaption.connections.settings import KafkaConnection
from kaption.producers.errors import PublishError
from kaption.schemas import Topic

_DELIVERY_S = 60.0
_CLOSE_S = 10.0


def withdraw(connection: KafkaConnection, topic: Topic, places: Iterable[tuple[int, str]]) -> int:
    """Withdraw pairs, each given by partition and pair_id; returns how many.

    `topic` is compacted, and as in the contract, without prefix. The partition is the one that the
    pair was found in: its key leads elsewhere after the topic has got more of them. Returns when
    all replicas have all messages. Raises PublishError; what was sent by then stands, and to
    withdraw it again does no harm.
    """
    name = topic.prefixed(connection.topic_prefix).name
    try:
        producer = KafkaProducer(
            **connection.client_config(),
            acks="all",
            enable_idempotence=True,
            linger_ms=20,
            request_timeout_ms=int(_DELIVERY_S * 500),
            delivery_timeout_ms=int(_DELIVERY_S * 1000),
            allow_auto_create_topics=False,
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
