"""The engine on Apache Kafka: exactly one outcome per record, seen by a plain consumer."""

import random
import time
from collections.abc import Collection, Mapping, Sequence
from threading import Event
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.errors import KafkaConnectionError

from kaption.connections.errors import Fatal, Retry
from kaption.connections.kafka.messages import Outgoing, Partition
from kaption.connections.kafka.transaction import Refused, TransactionThread
from kaption.schemas import DeadLetter
from kaption.schemas.topics import DEAD, RAW
from kaption.schemas.wire import decode
from kaption.workers.runtime.entry import Consumed
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import OutOfMemory
from support.engine import ECHO, PARTITIONS, POLICY, Stream, Toy, running, until
from support.kafka_faults import forget_assigned_partitions, throw_out_while_rejoining
from tools.servers import ApacheKafka

pytestmark = pytest.mark.integration


@pytest.fixture
def stream(apache_kafka: ApacheKafka, topic_prefix: str) -> Stream:
    return Stream(apache_kafka.bootstrap, topic_prefix)


def test_two_replicas_and_a_rebalance_give_one_outcome_each(stream: Stream) -> None:
    # Given records under way through one replica
    stream.produce(["text"] * 300)
    with running(Toy(seconds=0.05), stream) as first:
        assert until(lambda: first.records > 50)
        # When a second one joins, and the first leaves while both work
        with running(Toy(seconds=0.05), stream) as second:
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
    ) -> None:
        if not refused:
            refused.append(offsets)
            group = group._replace(generation_id=group.generation_id + 1)
            first.worker._session.ownership.revoked([lost])  # type: ignore[union-attr]  # it runs
        real(thread, messages, offsets, group)

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
    with running(Toy(seconds=0.5), stream) as first:
        assert until(lambda: bool(first.stage.sizes))
        first.stop()
    assert first.records > 0
    assert first.records < 200
    with running(Toy(), stream) as second:
        assert until(lambda: first.records + second.records == 200)
    assert stream.outcomes() == stream.expected()
    assert not first.stage.processed & second.stage.processed


def test_records_that_a_stopping_worker_leaves_are_done_by_the_next(stream: Stream) -> None:
    # Given a worker that stops with batches waiting, and commits idle positions all the time
    policy = POLICY.model_copy(update={"idle_commit_s": 0.001})
    stream.produce(["text"] * 33)
    with running(Toy(seconds=0.3), stream, policy) as first:
        assert until(lambda: bool(first.stage.sizes))
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


def test_a_consumer_that_fails_is_replaced(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a consumer whose poll raises once, in the middle of its work
    polls = 0
    real = Session.poll

    def poll(
        session: Session, timeout_s: float, max_records: int
    ) -> Mapping[Partition, Sequence[Consumed]]:
        nonlocal polls
        polls += 1
        if polls == 20:
            raise KafkaConnectionError("as told")
        return real(session, timeout_s, max_records)

    monkeypatch.setattr(Session, "poll", poll)
    stream.produce(["text"] * 100)
    # When it goes on
    with running(Toy(), stream) as worker:
        assert until(lambda: polls > 20)
        stream.produce(["after"] * 50)
        assert until(lambda: worker.records >= 150)
        assert worker.error is None
    # Then each input has one outcome
    assert stream.outcomes() == stream.expected()


def test_a_member_that_was_thrown_out_reads_from_the_committed_offsets(stream: Stream) -> None:
    # Given a member that has done all records
    stream.produce(["text"] * 30)
    with running(Toy(), stream) as worker:
        assert until(lambda: worker.records == 30)
        session = worker.worker._session
        assert session is not None
        before = dict(session.ownership._epochs)
        # When it is thrown out in the middle of a rebalance, and joins again as another member
        throw_out_while_rejoining(session.consumer)
        # Then it trusts nothing of what it knew of its partitions
        assert until(
            lambda: (
                {p for p in session.ownership.owned if session.ownership.epoch(p) > before[p]}
                == before.keys()
            ),
            60,
        )
        stream.produce(["text"] * 30)
        assert until(lambda: worker.records == 60)
    assert stream.outcomes() == stream.expected()


class Resuming(Toy):
    """A toy that says itself where a partition starts."""

    def resume(self, topic: str, partition: int, committed: int) -> int:
        self.resuming()
        return committed

    def resuming(self) -> None:
        """Called at each assignment; may raise."""


def test_a_consumer_replaced_during_resume_does_not_end_the_worker(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a consumer that is closed just before it is asked for a committed offset
    closed: list[None] = []
    real = Session.committed

    def committed(
        session: Session, partitions: Collection[Partition], timeout_s: float
    ) -> dict[Partition, int | None]:
        if partitions and not closed:
            closed.append(session.consumer.close(autocommit=False))
        return real(session, partitions, timeout_s)

    monkeypatch.setattr(Session, "committed", committed)
    stream.produce(["text"] * 30)
    # When the worker resumes, then it asks the next consumer
    with running(Resuming(), stream) as worker:
        assert until(lambda: worker.records == 30)
    assert closed
    assert stream.outcomes() == stream.expected()


def test_an_error_of_an_earlier_assignment_does_not_end_the_worker(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a stage whose partitions are lost while it says where they start
    stage, failed = Resuming(), list[bool]()
    with running(stage, stream) as worker:
        assert until(lambda: worker.worker._session is not None)
        session = worker.worker._session
        assert session is not None

        def fails_once() -> None:
            if not failed:
                before = session.ownership.changes
                session.consumer.close(autocommit=False)
                failed.append(until(lambda: session.ownership.changes >= before + PARTITIONS))
                raise ValueError("of an earlier assignment")

        monkeypatch.setattr(stage, "resuming", fails_once)
        # When its answer is an error, then only the answer for the new assignment counts
        stream.produce(["text"] * 30)
        assert until(lambda: worker.records == 30)
        assert worker.error is None
    assert failed == [True]
    assert stream.outcomes() == stream.expected()


def test_no_more_is_read_ahead_than_a_few_batches(stream: Stream) -> None:
    # Given far more records than a slow stage can do
    stream.produce(["text"] * 2000)
    stage, held = Toy(records=16, seconds=0.2), set()
    with running(stage, stream) as worker:
        progress = worker.worker.progress

        def some_done() -> bool:
            held.add(progress.snapshot().held)
            return worker.records > 320

        # When it has done some of them
        assert until(some_done)
    # Then it never held most of the others
    assert 16 <= max(held) < 200


def test_a_rebalance_that_is_answered_between_two_polls_comes_to_its_end(stream: Stream) -> None:
    # Given the leader of a group, and a topic that has got new partitions since it assigned them
    topic = stream.prefix + RAW.name
    session = Session(stream.connection, "leader", [topic], "leader", POLICY, pause_new=False)

    def joined() -> bool:
        session.poll(0.1, 1)
        return not session.joining

    try:
        assert until(joined)
        forget_assigned_partitions(session.consumer, topic)
        # When it asks to join again, and the answer comes while it does something else
        session.poll(0.0, 1)
        time.sleep(1.0)
        assert session.joining
        # Then it is a member again
        assert until(joined, 20)
    finally:
        session.close(5.0)


def test_a_poll_thread_that_is_stuck_ends_the_worker(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a Kafka library whose calls do not return, neither poll nor close
    released = Event()
    monkeypatch.setattr(Session, "poll", lambda *_: released.wait(60) and {})
    monkeypatch.setattr(KafkaConsumer, "close", lambda *_, **__: released.wait(60))
    with running(Toy(), stream, POLICY.model_copy(update={"stuck_s": 1.0})) as worker:
        # When that lasts for `stuck_s`, then the worker ends and says so
        worker.thread.join(30)
        assert isinstance(worker.error, Fatal)
        assert "poll thread has not come round for 1 s" in str(worker.error)
        released.set()


def test_commits_that_never_end_stop_the_worker_although_producers_open(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a Kafka library whose commits do not return
    released = Event()
    monkeypatch.setattr(KafkaProducer, "commit_transaction", lambda _: released.wait(120))
    changes = {"transaction_deadline_s": 1.0, "rebuild_limit_s": 6.0}
    stream.produce(["text"] * 10)
    with running(Toy(), stream, POLICY.model_copy(update=changes)) as worker:
        # When that lasts for `rebuild_limit_s`, then the worker ends and says so
        worker.thread.join(60)
        assert isinstance(worker.error, Fatal)
        assert "nothing could be committed for" in str(worker.error)
        released.set()
    assert not stream.outcomes()


def test_a_broker_that_refuses_all_messages_for_ever_stops_the_worker(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a broker that takes the messages of no transaction
    refused = Refused(KafkaConnectionError("as told"), [])
    monkeypatch.setattr(TransactionThread, "_commit", lambda *_: refused)
    stream.produce(["text"] * 10)
    policy = POLICY.model_copy(update={"rebuild_limit_s": 4.0})
    with running(Toy(), stream, policy) as worker:
        # When that lasts for `rebuild_limit_s`, then the worker ends and says so
        worker.thread.join(60)
        assert isinstance(worker.error, Fatal)
        assert "as told" in str(worker.error)
    assert not stream.outcomes()
