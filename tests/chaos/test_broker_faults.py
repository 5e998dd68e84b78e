"""A broker that dies or freezes inside a commit: one outcome per record, and records flow again."""

import threading
import time
from collections.abc import Callable

import pytest
from kafka import KafkaProducer

from faults import Direction, FaultProxy
from support.engine import POLICY, Stream, Toy, running, until
from tools.servers import ApacheKafka

pytestmark = pytest.mark.chaos

FLOW_S = 150.0
"""Records must flow again within this time after the broker is back."""
MEMBER = POLICY.model_copy(update={"session_timeout_s": 20.0, "transaction_records": 16})
"""A worker that stays a member while the broker is away, so that it need not repeat inference. It
commits often, so that a fault hits a commit."""


class InsideCommit:
    """Runs `fault` in a worker's third commit, after the messages and before its end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fault: Callable[[], None]) -> None:
        self.struck = threading.Event()
        self._commits = 0
        real = KafkaProducer.commit_transaction

        def commit(producer: KafkaProducer) -> None:
            self._commits += 1
            if self._commits == 3:
                fault()
                self.struck.set()
            real(producer)

        monkeypatch.setattr(KafkaProducer, "commit_transaction", commit)


def flows_again(stream: Stream, records: Callable[[], int]) -> bool:
    """Whether all records, new ones included, are done within FLOW_S."""
    stream.produce(["after"] * 30)
    return until(lambda: records() >= stream.produced, FLOW_S)


def test_a_broker_killed_before_it_gets_a_commit_loses_and_repeats_nothing(
    own_kafka: ApacheKafka, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a broker that is killed when a commit has begun and its request is not sent yet
    stream = Stream(own_kafka.bootstrap, topic_prefix)
    inside = InsideCommit(monkeypatch, own_kafka.kill9)
    stream.produce(["text"] * 200)
    stage = Toy()
    with running(stage, stream, MEMBER) as worker:
        assert inside.struck.wait(60)
        time.sleep(3)
        # When it comes back
        own_kafka.start()
        # Then everything is done once, and inference was not repeated for the lost commit
        assert flows_again(stream, lambda: worker.records)
        assert worker.error is None
    assert stream.outcomes() == stream.expected()
    assert set(stage.processed.values()) == {1}


def test_a_broker_killed_after_it_got_a_commit_loses_and_repeats_nothing(
    own_kafka: ApacheKafka, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a broker that carries out a commit, and dies before its answer arrives
    with FaultProxy(own_kafka.proxied_port, own_kafka.proxy_port) as proxy:
        stream = Stream(own_kafka.bootstrap, topic_prefix)
        stream.produce(["text"] * 200)

        killing = threading.Timer(2.0, own_kafka.kill9)

        def lose_the_answer() -> None:
            proxy.freeze(Direction.ANSWERS)
            killing.start()

        inside = InsideCommit(monkeypatch, lose_the_answer)
        behind = Stream.__new__(Stream)
        behind.__dict__ |= stream.__dict__
        behind.connection = stream.connection.model_copy(
            update={"bootstrap": own_kafka.proxy_bootstrap}
        )
        stage = Toy()
        with running(stage, behind, MEMBER) as worker:
            assert inside.struck.wait(60)
            killing.join(20)
            assert not own_kafka.running
            # When it comes back
            proxy.restore()
            own_kafka.start()
            # Then the committed records are not sent again, nor processed again
            assert flows_again(stream, lambda: worker.records)
            assert worker.error is None
        assert stream.outcomes() == stream.expected()
        assert set(stage.processed.values()) == {1}


def test_a_broker_frozen_inside_a_commit_loses_and_repeats_nothing(
    own_kafka: ApacheKafka, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a broker that freezes as the end of a transaction is sent to it
    stream = Stream(own_kafka.bootstrap, topic_prefix)
    inside = InsideCommit(monkeypatch, own_kafka.freeze)
    stream.produce(["text"] * 200)
    stage = Toy()
    with running(stage, stream, MEMBER) as worker:
        assert inside.struck.wait(60)
        # When it wakes after our deadline, and carries the commit out after all
        time.sleep(12)
        own_kafka.thaw()
        # Then everything is done once
        assert flows_again(stream, lambda: worker.records)
        assert worker.error is None
    assert stream.outcomes() == stream.expected()
    assert set(stage.processed.values()) == {1}


def test_a_broker_restarted_while_the_worker_is_idle_is_found_again(
    own_kafka: ApacheKafka, topic_prefix: str
) -> None:
    stream = Stream(own_kafka.bootstrap, topic_prefix)
    stream.produce(["text"] * 30)
    with running(Toy(), stream, MEMBER) as worker:
        assert until(lambda: worker.records == 30)
        own_kafka.restart()
        assert flows_again(stream, lambda: worker.records)
        assert worker.error is None
    assert stream.outcomes() == stream.expected()
