"""The engine on Apache Kafka when its consumer, its membership or its transactions fail."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from threading import Event, Thread
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaConnectionError, UnknownMemberIdError

from kaption.connections.errors import Fatal
from kaption.connections.kafka.internals import OwnPartitionsAssignor
from kaption.connections.kafka.messages import Partition
from kaption.connections.kafka.transaction import Refused, TransactionThread
from kaption.schemas.topics import RAW
from kaption.workers.runtime.entry import Consumed
from kaption.workers.runtime.session import Session
from support.engine import PARTITIONS, POLICY, Stream, Toy, running, until
from support.kafka_faults import (
    answer_joins_as_polls_begin,
    forget_assigned_partitions,
    throw_out_while_rejoining,
)

pytestmark = pytest.mark.integration


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

    def resume(
        self, topic: str, partition: int, committed: int, topic_id: str | None = None
    ) -> int:
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
    session = Session(stream.connection, "leader", [topic], "leader", POLICY)

    def joined() -> bool:
        session.poll(0.1, 1)
        return not session.joining

    try:
        # It first joins without partitions where the topic is too new to be known.
        assert until(lambda: joined() and bool(session.ownership.owned))
        forget_assigned_partitions(session.consumer, topic)
        # When it asks to join again, and the answer comes while it does something else
        session.poll(0.0, 1)
        time.sleep(1.0)
        assert session.joining
        answered = session.consumer.group_metadata().generation_id
        # Then it is a member again, by that answer
        assert until(joined, 20)
        assert session.consumer.group_metadata().generation_id == answered
    finally:
        session.close(5.0)


def test_an_answer_that_comes_as_a_poll_begins_is_not_forgotten(stream: Stream) -> None:
    # Given a member that asks to join, in a poll that ends before the answer
    session = Session(stream.connection, "g", [stream.prefix + RAW.name], "a", POLICY)

    def joined() -> bool:
        session.poll(0.01, 1)
        return not session.joining

    try:
        # When the answers come while the next polls begin
        answer_joins_as_polls_begin(session.consumer)
        # Then it is a member after one rebalance, and asks for no other
        assert until(joined, 60)
        assert session.consumer.group_metadata().generation_id == 1
    finally:
        session.close(5.0)


@contextmanager
def polled(session: Session) -> Iterator[None]:
    """Polls on a thread, as a worker does."""
    ended = Event()

    def poll() -> None:
        while not ended.is_set():
            try:
                session.poll(0.2, 1)
            except UnknownMemberIdError:
                session.replace_consumer()

    thread = Thread(target=poll)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def stop_polling(session: Session) -> None:
    """The member leaves its group: it has not polled for `max_poll_interval_s`."""
    assert until(lambda: session.group_metadata() is None, 30)


@pytest.mark.parametrize(
    "leave", [stop_polling, lambda session: throw_out_while_rejoining(session.consumer)]
)
def test_a_member_that_was_thrown_out_claims_no_partition(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, leave: Callable[[Session], None]
) -> None:
    # Given a member that owns all partitions, and one that has them after the group lost the first
    claims = list[Counter[tuple[str, int]]]()
    real = OwnPartitionsAssignor.assign

    def assign(assignor: OwnPartitionsAssignor, cluster: Any, members: Any) -> Any:
        claimed = [assignor.parse_member_metadata(each.metadata).partitions for each in members]
        claims.append(Counter(map(tuple, chain.from_iterable(claimed))))
        return real(assignor, cluster, members)

    monkeypatch.setattr(OwnPartitionsAssignor, "assign", assign)
    policy = POLICY.model_copy(update={"max_poll_interval_s": 6.0})
    topics = [stream.prefix + RAW.name]
    first, second = (Session(stream.connection, "g", topics, each, policy) for each in "ab")

    def shared_by(*sessions: Session) -> bool:
        owned = [len(each.ownership.owned) for each in sessions]
        return all(owned) and sum(owned) == PARTITIONS and not any(it.joining for it in sessions)

    try:
        with polled(first):
            assert until(lambda: shared_by(first), 60)
        leave(first)
        with polled(second):
            assert until(lambda: shared_by(second), 60)
            # When the first one joins again, and both have their share
            with polled(first):
                assert until(lambda: shared_by(first, second), 60)
        # Then nobody has claimed what another one owned
        assert all(count == 1 for each in claims for count in each.values())
    finally:
        for session in (first, second):
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
        assert "poll thread has not finished a round for 1 s" in str(worker.error)
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
