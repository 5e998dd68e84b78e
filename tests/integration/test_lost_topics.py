"""A topic that cannot be read any more: its worker is not ready, then ends with what to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka.admin import KafkaAdminClient

from kaption.connections.errors import Fatal
from kaption.connections.kafka.clients import client_config
from kaption.connections.kafka.topic_ids import TopicIds
from kaption.connections.settings import KafkaConnection
from kaption.schemas.topics import RAW
from support.engine import POLICY, Running, Stream, Toy, running, until
from support.secure_kafka import SecureKafka
from tools.servers import ApacheKafka

pytestmark = pytest.mark.integration

LIMITED = POLICY.model_copy(update={"rebuild_limit_s": 8.0})


def why(worker: Running) -> str:
    return worker.worker.not_ready() or ""


@pytest.mark.parametrize("records", [0, 12])
def test_a_topic_that_is_deleted_ends_its_idle_worker(stream: Stream, records: int) -> None:
    # Given a worker that has read all there is
    if records:
        stream.produce(["text"] * records)
    with running(Toy(), stream, LIMITED) as worker:
        assert until(lambda: worker.records == records and worker.worker.not_ready() is None, 120)
        # When its topic is deleted, and not created again
        admin = KafkaAdminClient(**client_config(stream.connection))
        admin.delete_topics([stream.prefix + RAW.name])
        admin.close()
        # Then it is not ready, and ends with what to do
        assert until(lambda: "there is no topic" in why(worker), 90)
        assert until(lambda: worker.error is not None, 120)
    assert isinstance(worker.error, Fatal)
    assert f"{RAW.name} any more: run `kaption topics create`" in str(worker.error)


@pytest.fixture
def user(secure_kafka: SecureKafka, topic_prefix: str) -> Iterator[KafkaConnection]:
    """One who may do all with the topics of the test."""
    connection = secure_kafka.scram("other", topic_prefix=topic_prefix)
    secure_kafka.apply(
        "\n".join(
            f"kafka-acls.sh --add --allow-principal User:{connection.username} --operation {may}"
            f" --{kind} {topic_prefix} --resource-pattern-type prefixed"
            for kind, rights in (
                ("topic", ("Read", "Write", "Describe")),
                ("group", ("Read",)),
                ("transactional-id", ("Write", "Describe")),
            )
            for may in rights
        )
    )
    yield connection
    secure_kafka.revoke(f"User:{connection.username}")


def test_a_right_that_is_taken_from_an_idle_worker_ends_it(
    secure_kafka: SecureKafka, user: KafkaConnection
) -> None:
    # Given a worker that has read all there is
    stream = Stream(secure_kafka.server.bootstrap, user.topic_prefix)
    stream.produce(["text"] * 12)
    stream.connection = user
    with running(Toy(), stream, LIMITED) as worker:
        assert until(lambda: worker.records == 12 and worker.worker.not_ready() is None, 120)
        # When its rights are taken away
        secure_kafka.revoke(f"User:{user.username}")
        # Then it is not ready, and ends with what must be granted
        assert until(lambda: "grant" in why(worker), 90), why(worker)
        assert until(lambda: worker.error is not None, 120)
    assert isinstance(worker.error, Fatal)
    assert "grant" in str(worker.error)


def test_a_broker_that_goes_away_and_comes_back_shows_in_readiness(
    own_kafka: ApacheKafka, topic_prefix: str
) -> None:
    # Given a worker that has read all there is
    stream = Stream(own_kafka.bootstrap, topic_prefix)
    with running(Toy(), stream) as worker:
        assert until(lambda: worker.worker.not_ready() is None and worker.worker.alive, 120)
        # When the broker goes away, then it is not ready
        own_kafka.stop()
        assert until(lambda: worker.worker.not_ready() is not None, 90)
        # And when the broker is back, the worker works again
        own_kafka.start()
        stream.produce(["text"] * 12)
        assert until(lambda: worker.records == 12 and worker.worker.not_ready() is None, 90)
    assert worker.error is None


def test_partitions_without_a_leader_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an answer as a cluster gives it that has lost brokers
    parts = [{"partition_index": number, "leader_id": -(number % 2)} for number in range(4)]
    topic = {"name": "pairs.raw", "error_code": 0, "topic_id": None, "partitions": parts}
    ids = TopicIds(KafkaConnection(), 1)
    monkeypatch.setattr(ids, "_ask", lambda topics: [topic])
    # When the topic is asked for
    (told,) = ids.check(["pairs.raw"])
    # Then what cannot be read is named
    assert "pairs.raw has no leader for partition 1, 3: start the brokers" in told
