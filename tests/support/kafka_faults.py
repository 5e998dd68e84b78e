"""States of Kafka's clients and of a broker that only a fault brings about.

The only file of the tests that touches private attributes of kafka-python.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.errors import InvalidTxnStateError
from kafka.producer.transaction_manager import TransactionalRequestResult, TxnOffsetCommitHandler
from kafka.structs import ConsumerGroupMetadata

_VERIFIES = "transaction.partition.verification.enable"
_LIMIT_S = 60.0


def throw_out_while_rejoining(consumer: Any) -> None:
    """As when the group expels a member in the middle of a rebalance."""
    consumer._coordinator.rejoining = True
    consumer._coordinator.reset_generation()


def forget_assigned_partitions(consumer: Any, topic: str) -> None:
    """As when the partitions of `topic` have changed since the leader assigned them."""
    consumer._coordinator._assignment_snapshot = {topic: set()}


def answer_joins_as_polls_begin(consumer: Any) -> None:
    """As when a join is answered before the I/O thread comes to the poll that waits for it."""
    coordinator = consumer._coordinator
    real = coordinator.ensure_coordinator_ready_async

    async def ready(timeout_ms: float | None = None) -> Any:
        if coordinator._join_task is not None:
            await coordinator._net.sleep(1.0)
        return await real(timeout_ms)

    coordinator.ensure_coordinator_ready_async = ready


def hang_a_record(bootstrap: str, partition: TopicPartition, hours_old: float) -> None:
    """Leave a record in a transaction that nobody ends, as one that arrives when it has ended.

    Raises TimeoutError if the broker does not take it.
    """

    def send(producer: Any) -> None:
        at_ms = round((time.time() - 3600 * hours_old) * 1000)
        producer._transaction_manager._partitions_in_transaction.add(partition)
        producer.send(
            partition.topic, b"late", partition=partition.partition, timestamp_ms=at_ms
        ).get(timeout=_LIMIT_S)

    _hang(bootstrap, send)


def hang_an_offset(bootstrap: str, partition: TopicPartition, group: str) -> None:
    """Leave an offset of a group in a transaction that nobody ends.

    Raises TimeoutError if the broker does not take it.
    """
    offsets = {partition: OffsetAndMetadata(0, "", -1)}

    def send(producer: Any) -> None:
        transactions, taken = producer._transaction_manager, TransactionalRequestResult()
        with transactions._lock:
            transactions._pending_txn_offset_commits.update(offsets)
            transactions._enqueue_request(
                TxnOffsetCommitHandler(
                    transactions, ConsumerGroupMetadata(group_id=group), offsets, taken
                )
            )
        producer._sender.wakeup()
        if not taken.wait(timeout_ms=1000 * _LIMIT_S):
            raise TimeoutError("the broker does not take the offset")

    _hang(bootstrap, send)


def _hang(bootstrap: str, send: Any) -> None:
    with _unverified(bootstrap):
        deadline = time.monotonic() + _LIMIT_S
        while time.monotonic() < deadline:
            name = f"late-{uuid.uuid4().hex}"
            with closing(
                KafkaProducer(bootstrap_servers=bootstrap, transactional_id=name)
            ) as producer:
                producer.init_transactions()
                producer.begin_transaction()
                try:
                    send(producer)
                except InvalidTxnStateError:
                    continue  # a broker obeys its new setting a moment later
                return
    raise TimeoutError("the broker still verifies transactions")


@contextmanager
def _unverified(bootstrap: str) -> Iterator[None]:
    """Switch off what keeps a broker from taking messages of a transaction that has ended."""
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        brokers = [str(each["broker_id"]) for each in admin.describe_cluster()["brokers"]]
        switched_off = [ConfigResource("BROKER", each, {_VERIFIES: "false"}) for each in brokers]
        admin.alter_configs(switched_off)
        try:
            yield
        finally:
            admin.reset_configs(switched_off)
