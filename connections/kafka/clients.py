"""Every client of kafka-python is constructed here, with the settings that its use needs.

Each function raises KafkaError when no broker answers. Objects of the library are typed Any, for
it publishes no types. Times are in seconds.
"""

from __future__ import annotations

import logging
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient
from pydantic import SecretStr

from kaption.connections.kafka.internals import (
    OwnPartitionsAssignor,
    claim_what_is_owned,
    keep_answers,
    note_waits,
    place_failures,
)
from kaption.connections.kafka.oauth import token_provider
from kaption.connections.kafka.partitioner import KeyPartitioner
from kaption.connections.settings import KafkaConnection
from kaption.schemas.limits import MIB

# The library's default of 30 s would keep a client away for as long after the broker is back.
_RECONNECT_BACKOFF_MAX_MS = 1000
_PARTITION_FETCH_BYTES = 4 * MIB
_FETCH_BYTES = 32 * MIB
# Larger than the largest record batches of small messages, far below one large message.
_PRODUCER_BATCH_BYTES = 256 * 1024
# The answer to a heartbeat is how a member learns of a rebalance. The partitions that move are read
# by nobody for up to two heartbeats. The library's default is 3 s.
_HEARTBEAT_S = 1.0
# A broker that has nothing yet for the partitions of a fetch holds it so long, and those that are
# resumed meanwhile wait. A worker that caught up with 64 partitions did 1,400 records a second at
# the library's 0.5 s, and 3,600 at this. Idle, it asks each broker ten times a second.
_FETCH_WAIT_S = 0.1
# More records than one fetch can hold, so that a poll returns every batch it fetched whole.
_ALL_RECORDS = 1_000_000

_WIRE_LOGGERS = ("kafka.net.connection", "kafka.protocol.parser")
"""At level DEBUG these loggers write every byte on the wire, and so passwords and tokens."""


def client_config(connection: KafkaConnection) -> dict[str, object]:
    """Keyword arguments that every client of kafka-python takes: addresses, TLS and login.

    With SASL it also raises the level of the loggers that would write secrets.
    """
    config: dict[str, object] = {
        "bootstrap_servers": [address.strip() for address in connection.bootstrap.split(",")],
        "security_protocol": connection.security_protocol,
    }
    optional: dict[str, object] = {
        "sasl_mechanism": connection.sasl_mechanism,
        "sasl_plain_username": connection.username,
        "sasl_plain_password": _revealed(connection.password),
        "ssl_cafile": connection.ca_file,
        "ssl_certfile": connection.certificate_file,
        "ssl_keyfile": connection.key_file,
        "ssl_password": _revealed(connection.key_password),
    }
    if connection.sasl_mechanism == "OAUTHBEARER":
        optional["sasl_oauth_token_provider"] = token_provider(connection)
    if connection.sasl_mechanism is not None:
        for name in _WIRE_LOGGERS:
            logging.getLogger(name).setLevel(logging.INFO)
    return config | {name: value for name, value in optional.items() if value is not None}


def group_member(
    connection: KafkaConnection,
    group: str,
    client_id: str,
    *,
    request_s: float,
    session_s: float,
    poll_interval_s: float,
    pass_over: bool,
) -> Any:
    """A consumer that is to join `group`, without subscription yet.

    The group throws it out after `session_s` without a heartbeat, and it leaves by itself after
    `poll_interval_s` without a poll. `request_s`: for each request, and for the first broker.
    `pass_over`: give a `PassedOver` for a batch that cannot be read, and do not raise
    `UnreadableBatch`.
    """
    consumer = KafkaConsumer(
        **client_config(connection),
        client_id=client_id,
        group_id=group,
        # An instance, not the class: the default assignors stop the whole group at each rebalance.
        partition_assignment_strategy=[OwnPartitionsAssignor()],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        session_timeout_ms=_ms(session_s),
        heartbeat_interval_ms=_ms(min(_HEARTBEAT_S, session_s / 4)),
        max_poll_interval_ms=_ms(poll_interval_s),
        max_partition_fetch_bytes=_PARTITION_FETCH_BYTES,
        fetch_max_bytes=_FETCH_BYTES,
        fetch_max_wait_ms=_ms(_FETCH_WAIT_S),
        reconnect_backoff_max_ms=_RECONNECT_BACKOFF_MAX_MS,
        request_timeout_ms=_ms(request_s),
        bootstrap_timeout_ms=_ms(request_s),
        # The engine has metrics of its own; the library's cost several percent.
        metrics_enabled=False,
    )
    claim_what_is_owned(consumer)
    keep_answers(consumer)
    place_failures(consumer, pass_over=pass_over)
    return consumer


def group_offsets(
    connection: KafkaConnection, group: str, timeout_s: float, *, stable: bool
) -> Any:
    """A consumer that joins no group and only reads offsets that were committed for `group`.

    If `stable`, the broker answers after open transactions on these offsets have ended.
    """
    return KafkaConsumer(
        **client_config(connection),
        group_id=group,
        enable_auto_commit=False,
        isolation_level="read_committed" if stable else "read_uncommitted",
        allow_auto_create_topics=False,
        bootstrap_timeout_ms=_ms(timeout_s),
    )


def topic_consumer(connection: KafkaConnection, timeout_s: float) -> Any:
    """A consumer of committed records in no group; it waits `timeout_s` for the first broker.

    Its polls raise `UnreadableBatch` for a batch that cannot be read.
    """
    consumer = KafkaConsumer(
        **client_config(connection),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        bootstrap_timeout_ms=_ms(timeout_s),
        max_poll_records=_ALL_RECORDS,
    )
    place_failures(consumer, pass_over=False)
    return consumer


def transactional_producer(
    connection: KafkaConnection,
    transactional_id: str,
    max_message_bytes: int,
    *,
    request_s: float,
    block_s: float,
    expiry_s: float,
) -> Any:
    """A producer before init_transactions. `max_message_bytes`: of the topic that takes most.

    `request_s`: for each request, and for the first broker. `block_s`: for one call, as far as the
    library keeps to it, see `TransactionThread`. The broker aborts a transaction that is open for
    longer than `expiry_s`; until then its readers wait.
    """
    producer = KafkaProducer(
        **client_config(connection),
        client_id=transactional_id,
        transactional_id=transactional_id,
        transaction_timeout_ms=_ms(expiry_s),
        partitioner=KeyPartitioner(),
        compression_type="zstd",
        batch_size=_PRODUCER_BATCH_BYTES,
        max_request_size=max_message_bytes + MIB,
        max_block_ms=_ms(block_s),
        # After a commit the broker still writes markers and answers the next transaction with
        # CONCURRENT_TRANSACTIONS for a moment; the default of 100 ms halves the throughput.
        retry_backoff_ms=1,
        allow_auto_create_topics=False,
        reconnect_backoff_max_ms=_RECONNECT_BACKOFF_MAX_MS,
        request_timeout_ms=_ms(request_s),
        bootstrap_timeout_ms=_ms(request_s),
        # The engine has metrics of its own; the library's cost several percent.
        metrics_enabled=False,
    )
    note_waits(producer)
    return producer


def idempotent_producer(
    connection: KafkaConnection,
    *,
    max_message_bytes: int = MIB,
    linger_s: float = 0.02,
    connect_s: float = 30.0,
    request_s: float = 30.0,
    delivery_s: float = 120.0,
) -> Any:
    """A producer with acks=all whose own retries write no message twice and keep their order.

    It refuses messages above `max_message_bytes`. A message waits `linger_s` for others to share
    its batch, and has failed `delivery_s` after `send`. `connect_s`: for the first broker, then
    for the topic's partitions. `request_s`: for the answer to one request.
    """
    return KafkaProducer(
        **client_config(connection),
        acks="all",
        enable_idempotence=True,
        partitioner=KeyPartitioner(),
        compression_type="zstd",
        linger_ms=_ms(linger_s),
        batch_size=min(_PRODUCER_BATCH_BYTES, max_message_bytes // 2),
        max_request_size=max_message_bytes,
        max_block_ms=_ms(connect_s),
        request_timeout_ms=_ms(request_s),
        delivery_timeout_ms=_ms(delivery_s),
        bootstrap_timeout_ms=_ms(connect_s),
        reconnect_backoff_max_ms=_RECONNECT_BACKOFF_MAX_MS,
        allow_auto_create_topics=False,
    )


def admin_client(connection: KafkaConnection, timeout_s: float) -> Any:
    """An admin client; `timeout_s` holds for the first broker and for each request."""
    return KafkaAdminClient(
        **client_config(connection),
        request_timeout_ms=_ms(timeout_s),
        bootstrap_timeout_ms=_ms(timeout_s),
        reconnect_backoff_max_ms=_RECONNECT_BACKOFF_MAX_MS,
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _revealed(secret: SecretStr | None) -> _Unshown | None:
    return _Unshown(secret.get_secret_value()) if secret is not None else None


class _Unshown(str):
    """A secret whose repr hides it: the admin client logs its configuration at level DEBUG."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"
