"""The engine on Apache Kafka: exactly one outcome per record, seen by a plain consumer."""

import random
from collections.abc import Mapping, Sequence
from threading import Event
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource, KafkaAdminClient

from kaption.connections.errors import Fatal, Retry
from kaption.connections.kafka.messages import Outgoing, Partition
from kaption.connections.kafka.transaction import TransactionThread
from kaption.schemas import DeadLetter
from kaption.schemas.topics import DEAD, RAW
from kaption.schemas.wire import decode
from kaption.workers.runtime.stage import OutOfMemory
from support.engine import ECHO, POLICY, Probed, Stream, Toy, running, until
from tools.servers import ApacheKafka

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("any_order", [False, True])
def test_two_replicas_and_a_rebalance_give_one_outcome_each(
    stream: Stream, any_order: bool
) -> None:
    # Given records under way through one replica
    stream.produce(["text"] * 300)
    with running(Toy(seconds=0.05, any_order=any_order), stream) as first:
        assert until(lambda: first.records > 50)
        # When a second one joins, and the first leaves while both work
        with running(Toy(seconds=0.05, any_order=any_order), stream) as second:
            while second.records < 50 and second.error is None:
                stream.produce(["more"] * 60)
            first.stop()
            assert until(lambda: first.records + second.records >= stream.produced)
    # Then each input offset has exactly one outcome
    assert stream.outcomes() == stream.expected()
    assert first.error is None
    assert second.error is None


def test_offsets_of_a_refused_transaction_are_not_committed_with_the_next(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a transaction with records of every partition, and a rebalance just before it that took
    # one of the partitions away
    real, lost = TransactionThread.commit, Partition(stream.prefix + RAW.name, 0)
    refused: list[Mapping[Partition, int]] = []

    def stale_once(
        thread: TransactionThread,
        messages: Sequence[Outgoing],
        offsets: Mapping[Partition, int],
        group: Any,
        metadata: Mapping[str, str],
    ) -> None:
        if messages and not refused:  # positions alone may have been committed before
            refused.append(offsets)
            group = group._replace(generation_id=group.generation_id + 1)
            first.worker._session.ownership.revoked([lost])  # type: ignore[union-attr]  # it runs
        real(thread, messages, offsets, group, metadata)

    monkeypatch.setattr(TransactionThread, "commit", stale_once)
    stream.produce(["text"] * 33)
    # When the broker refuses the transaction, and the two other partitions are committed
    with running(Toy(records=33, wait_s=5.0), stream) as first:
        assert until(lambda: first.records == 22)
        first.stop()
    assert len(refused[0]) == 3
    # Then the records of the lost partition are still to be done
    with running(Toy(), stream) as second:
        assert until(lambda: second.records == 11, 60)
    assert stream.outcomes() == stream.expected()


def test_outputs_are_transactional(stream: Stream) -> None:
    stream.produce(["text"] * 60)
    with running(Toy(), stream) as worker:
        assert until(lambda: worker.records == 60)
    # Markers take offsets that no consumer is given
    assert len(stream.read(ECHO)) == 60
    assert stream.end(ECHO) > 60


def test_a_record_that_fails_becomes_a_dead_letter_with_its_bytes_and_the_rest_goes_on(
    stream: Stream,
) -> None:
    # Given a poison record, undecodable bytes, and a rejection among good records
    texts: list[str | bytes] = ["text"] * 40
    texts[7], texts[13], texts[20], texts[30] = "poison", b"\x00 no json", "reject", "dead"
    stream.produce(texts)
    # When they are processed
    with running(Toy(), stream) as worker:
        assert until(lambda: worker.records == 40)
    # Then only the culprits are dead, with their bytes, headers, error and attempts
    read = [decode(message.value, DeadLetter) for message in stream.read(DEAD)]
    letters = {letter.partition + 3 * letter.offset: letter for letter in read}
    assert set(letters) == {7, 13, 30}
    assert letters[7].error == "ValueError: poisoned"
    assert letters[7].attempts >= POLICY.attempts
    assert letters[13].value == b"\x00 no json"
    assert letters[13].headers[0].value == b"\xff"
    assert stream.outcomes() == stream.expected()


def test_records_that_all_fail_are_dead_letters_where_the_stage_works_with_its_probe(
    stream: Stream,
) -> None:
    # Given batches of bad records alone, around a good one
    stream.produce(["poison"] * 40 + ["text"] + ["poison"] * 40)
    # When a stage with a probe processes them, with a restart between
    policy = POLICY.model_copy(update={"dead_letter_rate": 0.5})
    with running(Probed(), stream, policy) as first:
        assert until(lambda: first.records > 0)
    with running(Probed(), stream, policy) as second:
        assert until(lambda: first.records + second.records == 81), second.error
    # Then each has one outcome, and a stage whose probe fails would have stopped
    assert len(stream.read(DEAD)) == 80
    assert stream.outcomes() == stream.expected()
    stream.produce(["poison"])
    with running(Probed(broken=RuntimeError("no device")), stream, policy) as third:
        assert until(lambda: third.error is not None)
    assert isinstance(third.error, Fatal)
    assert "no device" in str(third.error)
    assert stream.lag() == 1


def test_a_batch_that_runs_out_of_memory_is_halved_and_the_size_remembered(stream: Stream) -> None:
    stage = Toy(records=16)

    def too_large(texts: Sequence[str]) -> None:
        if len(texts) > 5:
            raise OutOfMemory

    stage.before = too_large
    stream.produce(["text"] * 96)
    with running(stage, stream) as worker:
        assert until(lambda: worker.records == 96)
    # A batch of 16 needs two halvings; none above the size that fits is tried after that
    assert 1 <= len([size for size in stage.sizes if size > 5]) <= 2
    assert stream.outcomes() == stream.expected()


def test_retry_pauses_and_keeps_the_membership(stream: Stream) -> None:
    # Given a store that is down for longer than the session timeout
    stage, up = Toy(), Event()

    def down(texts: Sequence[str]) -> None:
        if not up.is_set():
            raise Retry("store is down")

    stage.before = down
    stream.produce(["text"] * 30)
    with running(stage, stream) as worker:
        assert until(lambda: worker.worker.progress.snapshot().waiting_for == "store is down")
        changes = worker.worker._session.ownership.changes  # type: ignore[union-attr]  # it runs
        until(lambda: False, POLICY.session_timeout_s + 2)
        # When it comes back
        assert worker.worker._session.ownership.changes == changes  # type: ignore[union-attr]  # it runs
        up.set()
        # Then nothing was dropped and no partition was lost
        assert until(lambda: worker.records == 30)
    assert stream.outcomes() == stream.expected()


def test_a_graceful_stop_commits_the_batch_in_compute_and_nothing_twice(stream: Stream) -> None:
    stream.produce(["text"] * 200)
    stages = Toy(seconds=0.5), Toy()
    with running(stages[0], stream) as first:
        assert until(lambda: bool(stages[0].sizes))
        first.stop()
    assert first.records > 0
    assert first.records < 200
    with running(stages[1], stream) as second:
        assert until(lambda: first.records + second.records == 200)
    assert stream.outcomes() == stream.expected()
    assert not stages[0].processed & stages[1].processed


@pytest.mark.parametrize("any_order", [False, True])
def test_records_that_a_stopping_worker_leaves_are_done_by_the_next(
    stream: Stream, any_order: bool
) -> None:
    # Given a worker that stops with batches waiting, and commits idle positions all the time
    policy = POLICY.model_copy(update={"idle_commit_s": 0.001})
    stream.produce(["text"] * 33)
    stage = Toy(seconds=0.3, any_order=any_order)
    with running(stage, stream, policy) as first:
        assert until(lambda: bool(stage.sizes))
        first.stop()
    # When another one takes over
    with running(Toy(), stream) as second:
        assert until(lambda: stream.lag() == 0)
        assert second.error is None
    # Then nothing was passed over
    assert stream.outcomes() == stream.expected()


def test_lag_reaches_zero_when_idle(stream: Stream, apache_kafka: ApacheKafka) -> None:
    # Given an input that ends in a transaction marker: it is another stage's output
    stream.produce(["text"] * 20)
    producer = KafkaProducer(
        bootstrap_servers=apache_kafka.bootstrap, transactional_id=stream.prefix + "up"
    )
    producer.init_transactions()
    producer.begin_transaction()
    for partition in range(3):
        producer.send(f"{stream.prefix}pairs.raw", b"{}", partition=partition)
    producer.commit_transaction()
    producer.close()
    with running(Toy(), stream) as worker:
        assert until(lambda: worker.records == 23)
        assert until(lambda: stream.lag() == 0)


def test_a_broken_stage_stops_and_says_why(stream: Stream) -> None:
    stage = Toy()

    def broken(texts: Sequence[str]) -> None:
        raise ZeroDivisionError("broken")

    stage.before = broken
    stream.produce(["text"] * 32)
    with running(stage, stream) as worker:
        worker.thread.join(60)
        assert isinstance(worker.error, Fatal)
        assert "toy that is broken" in str(worker.error)
    assert not stream.outcomes()


def test_dead_letters_past_the_rate_stop_the_worker_before_the_batch(stream: Stream) -> None:
    policy = POLICY.model_copy(update={"dead_letter_rate": 0.5, "dead_letter_minimum": 10})
    stream.produce(["dead"] * 64)
    with running(Toy(records=16), stream, policy) as worker:
        worker.thread.join(60)
        assert isinstance(worker.error, Fatal)
        assert "records are dead" in str(worker.error)
    assert sum(stream.outcomes().values()) < 64


def test_an_output_that_the_broker_finds_too_large_is_dead_and_the_rest_goes_on(
    stream: Stream,
) -> None:
    # Given an output topic whose limit on the broker is below the contract's
    admin = KafkaAdminClient(bootstrap_servers=stream.bootstrap)
    limit = {"max.message.bytes": "20000"}
    admin.alter_configs([ConfigResource("TOPIC", stream.prefix + ECHO.name, limit)])
    admin.close()
    noise = random.Random(5)
    long = "".join(chr(noise.randrange(0x4E00, 0x9FFF)) for _ in range(20_000))
    # When a record does not fit
    stream.produce([long])
    with running(Toy(), stream) as worker:
        assert until(lambda: worker.records == 1)
        stream.produce(["text"] * 10)
        assert until(lambda: worker.records == 11)
    # Then it is dead, and says why
    (letter,) = [decode(message.value, DeadLetter) for message in stream.read(DEAD)]
    assert "too large" in letter.error
    assert stream.outcomes() == stream.expected()
