"""kafka-python's clients with the settings that exactly-once needs."""

from __future__ import annotations

from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from kaption.connections.settings import KafkaConnection
from kaption.schemas.limits import DEAD_MESSAGE_BYTES, MIB
from kaption.workers.runtime.policy import RuntimePolicy

# Both: the default of 30 s would outlast the broker's return by as much.
_RECONNECT_BACKOFF_MAX_MS = 1000
_PARTITION_FETCH_BYTES = 4 * MIB
_FETCH_BYTES = 32 * MIB
# Larger than the largest record batches of small messages, far below one large message.
_PRODUCER_BATCH_BYTES = 256 * 1024


def make_consumer(
    connection: KafkaConnection, group: str, client_id: str, policy: RuntimePolicy
) -> Any:
    """A consumer without subscription. Raises KafkaError when no broker answers."""
    return KafkaConsumer(
        **connection.client_config(),
        **_common(client_id, policy),
        group_id=group,
        # An instance, not the class: the default assignors stop the whole group at each rebalance.
        partition_assignment_strategy=[CooperativeStickyAssignor()],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        session_timeout_ms=_ms(policy.session_timeout_s),
        heartbeat_interval_ms=_ms(min(3.0, policy.session_timeout_s / 4)),
        max_poll_interval_ms=_ms(policy.max_poll_interval_s),
        max_partition_fetch_bytes=_PARTITION_FETCH_BYTES,
        fetch_max_bytes=_FETCH_BYTES,
    )


def make_producer(
    connection: KafkaConnection, transactional_id: str, client_id: str, policy: RuntimePolicy
) -> Any:
    """A producer before init_transactions. Raises KafkaError when no broker answers."""
    return KafkaProducer(
        **connection.client_config(),
        **_common(client_id, policy),
        transactional_id=transactional_id,
        transaction_timeout_ms=_ms(policy.transaction_timeout_s),
        compression_type="zstd",
        batch_size=_PRODUCER_BATCH_BYTES,
        max_request_size=DEAD_MESSAGE_BYTES + MIB,
        max_block_ms=_ms(policy.transaction_deadline_s),
        # After a commit the broker still writes markers and answers the next transaction with
        # CONCURRENT_TRANSACTIONS for a moment; the default of 100 ms halves the throughput.
        retry_backoff_ms=1,
    )


def _common(client_id: str, policy: RuntimePolicy) -> dict[str, Any]:
    return {
        "client_id": client_id,
        "allow_auto_create_topics": False,
        "reconnect_backoff_max_ms": _RECONNECT_BACKOFF_MAX_MS,
        "request_timeout_ms": _ms(policy.request_timeout_s),
        "bootstrap_timeout_ms": _ms(policy.request_timeout_s),
        # We have our own; theirs cost several percent.
        "metrics_enabled": False,
    }


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
