"""Every outcome of a commit: what is committed, sent again, dropped, counted and told."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import pytest
from kafka.errors import KafkaConnectionError

from kaption.connections.errors import Fatal
from kaption.connections.kafka.messages import Partition
from kaption.connections.kafka.transaction import Committed, Result, Unknown
from kaption.schemas.topics import DEAD, RAW
from kaption.workers.runtime.delivery import Delivery
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.outputs import Outputs
from kaption.workers.runtime.parts import Mailbox
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.progress import Progress, Snapshot
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Dead, Emit
from support.engine import ECHO, POLICY, Toy
from support.entries import entry
from support.fake_session import Clock, FakeBroker, FakeSession, Fault, lost, refused, silent

P0, P1 = Partition(RAW.name, 0), Partition(RAW.name, 1)


class Case:
    """A delivery with everything around it, and two partitions."""

    def __init__(self, policy: RuntimePolicy = POLICY, *faults: Fault) -> None:
        self.broker = FakeBroker()
        self.broker.faults.extend(faults)
        self.session = FakeSession(self.broker)
        self.session.assign(P0, P1)
        self.clock = Clock()
        self.progress = Progress("toy")
        self.held = self.progress.held
        self.outputs = Outputs(Toy(), "", lambda: datetime.now(UTC), random.Random(0))
        self.mailbox = Mailbox()
        self.delivery = Delivery(
            cast(Session, self.session),
            self.outputs,
            self.progress,
            policy,
            self.clock,
            self.mailbox.put,
        )
        self.idle = self.delivery.positions

    def batch(self, *entries: Entry) -> None:
        """Have a batch finished whose records go on."""
        for each in entries:
            assert each.message is not None
            each.outcome = each.outcome or Emit(((ECHO, each.message.record),))
            self.outputs.build(each)
        self.held.add(entries)
        self.delivery.add(entries)

    def rounds(self, number: int = 1, seconds: float = 0.0) -> None:
        """Rounds of the poll thread, each `seconds` after the one before."""
        for _ in range(number):
            self.clock.now += seconds
            self.delivery.step()
            self.mailbox.work(0.0)

    @property
    def done(self) -> Snapshot:
        return self.progress.snapshot()

    @property
    def sent_keys(self) -> Sequence[bytes]:
        return [message.key for message in self.broker.messages]


def entries(partition: int, *offsets: int) -> list[Entry]:
    return [entry(offset, partition=partition) for offset in offsets]


def test_a_batch_is_committed_with_the_offsets_behind_its_last_records() -> None:
    case = Case()
    case.batch(*entries(0, 3, 4), *entries(1, 8))
    # When a producer is opened, and then the batch is sent
    case.rounds(2)
    # Then messages and offsets are committed, and the records are counted and no longer held
    assert case.broker.committed == {P0: 5, P1: 9}
    assert case.sent_keys == [b"p3", b"p4", b"p8"]
    assert (case.done.records, case.held.records, case.delivery.records) == (3, 0, 0)
    assert case.delivery.idle
    assert case.delivery.open


def test_batches_share_a_transaction_up_to_its_records() -> None:
    case = Case(POLICY.model_copy(update={"transaction_records": 4}))
    for first in (0, 2, 4):
        case.batch(*entries(0, first, first + 1))
    case.rounds(3)
    assert case.broker.tried == [{P0: 4}, {P0: 6}]


def test_batches_share_a_transaction_up_to_its_bytes() -> None:
    size = entry(0).bytes
    case = Case(POLICY.model_copy(update={"transaction_bytes": 2 * size}))
    for offset in range(3):
        case.batch(entry(offset))
    case.rounds(3)
    assert case.broker.tried == [{P0: 2}, {P0: 3}]


def test_a_batch_larger_than_a_transaction_still_goes() -> None:
    case = Case(POLICY.model_copy(update={"transaction_records": 1}))
    case.batch(*entries(0, 0, 1, 2))
    case.rounds(2)
    assert case.broker.committed == {P0: 3}


def test_what_is_refused_is_sent_again_by_another_producer_after_a_pause() -> None:
    case = Case(POLICY, refused())
    case.batch(entry(0))
    case.rounds(2)
    # Given a refusal: nothing is counted, and the producer is not used again
    assert case.broker.committed == {}
    assert (case.done.records, case.held.records) == (0, 1)
    assert not case.delivery.open
    # When the pause is not over, then nothing is tried
    case.rounds(3)
    assert len(case.session.producers) == 1
    # When it is over, then the same results go through the next producer
    case.rounds(2, seconds=0.2)
    assert case.session.producers[0].left_behind
    assert case.broker.committed == {P0: 1}
    assert (case.done.records, case.delivery.open) == (1, True)


def test_what_comes_finished_during_a_refusal_stays_behind_what_was_refused() -> None:
    case = Case(POLICY.model_copy(update={"transaction_records": 1}), refused())
    case.batch(entry(0))
    case.rounds(2)
    case.batch(entry(1))
    case.rounds(4, seconds=0.2)
    assert case.broker.tried == [{P0: 1}, {P0: 1}, {P0: 2}]


def test_a_stale_generation_is_refused_and_only_what_is_still_ours_is_sent_again() -> None:
    case = Case()
    case.batch(entry(0), entry(5, partition=1))
    case.rounds(1)
    # Given a rebalance that the worker does not know of when it sends
    real = case.session.group_metadata

    def before_the_rebalance() -> int | None:
        generation = real()
        case.session.group_metadata = real  # type: ignore[method-assign]  # only once
        case.broker.generation += 1
        return generation

    case.session.group_metadata = before_the_rebalance  # type: ignore[method-assign]  # once
    case.rounds(1)
    assert case.broker.committed == {}
    # When it learns that one partition went to another worker
    case.session.revoke(P0)
    case.rounds(2, seconds=0.2)
    # Then the other one is committed, and the lost records are neither held nor counted
    assert case.broker.committed == {P1: 6}
    assert (case.done.records, case.held.records) == (1, 0)


def test_a_message_that_is_too_large_makes_its_record_dead_and_the_others_go_on() -> None:
    case = Case(POLICY, refused(too_large=[1]))
    case.batch(entry(0), entry(1), entry(2))
    case.rounds(2)
    case.rounds(2, seconds=0.2)
    assert (case.done.emitted, case.done.dead) == (2, 1)
    assert [message.topic for message in case.broker.messages] == [
        ECHO.name,
        DEAD.name,
        ECHO.name,
    ]
    assert b"too large" in case.broker.messages[1].value


def test_a_dead_letter_that_is_too_large_is_sent_again_as_it_is() -> None:
    # A dead letter has its limit from the contract: the topic on this broker is set too low.
    case = Case(POLICY, refused(too_large=[0]))
    culprit = entry(0)
    culprit.die("as told", unexpected=True)
    case.batch(culprit)
    case.rounds(2)
    case.rounds(2, seconds=0.2)
    assert (str(culprit.outcome), culprit.unexpected) == ("as told", True)
    assert case.done.dead == 1


@pytest.mark.parametrize("fault", [lost(carried_out=True), silent(carried_out=True)])
def test_an_unknown_outcome_that_is_committed_is_not_sent_again(fault: Fault) -> None:
    case = Case(POLICY, fault)
    case.batch(*entries(0, 0, 1))
    # When no answer says that it is committed
    case.rounds(2)
    assert case.done.records == 0
    case.rounds(4, seconds=POLICY.transaction_deadline_s + 1)
    # Then the next producer finds out
    assert case.broker.tried == [{P0: 2}]
    assert (case.done.records, case.delivery.idle, case.delivery.open) == (2, True, True)


@pytest.mark.parametrize("fault", [lost(carried_out=False), silent(carried_out=False)])
def test_an_unknown_outcome_that_is_not_committed_is_sent_again(fault: Fault) -> None:
    case = Case(POLICY, fault)
    case.batch(*entries(0, 0, 1))
    case.rounds(2)
    case.rounds(4, seconds=POLICY.transaction_deadline_s + 1)
    assert case.broker.tried == [{P0: 2}, {P0: 2}]
    assert case.sent_keys == [b"p0", b"p1"]
    assert (case.done.records, case.delivery.open) == (2, True)


def test_an_unknown_outcome_is_resolved_partition_by_partition() -> None:
    case = Case(POLICY, lost(carried_out=False))
    case.batch(entry(0), entry(5, partition=1))
    case.rounds(2)
    # Given that another worker had one partition meanwhile, and committed the same records
    case.broker.committed[P1] = 6
    case.rounds(2, seconds=2.0)
    # Then only the other one is sent again
    assert case.broker.tried == [{P0: 1, P1: 6}, {P0: 1}]


def test_an_answer_that_comes_after_the_deadline_is_ignored() -> None:
    case = Case(POLICY, silent(carried_out=False))
    case.batch(entry(0))
    case.rounds(2)
    case.rounds(1, seconds=POLICY.transaction_deadline_s + 1)
    # When the producer that was left behind answers at last
    case.session.producers[0].report(Committed())
    case.rounds(1)
    # Then it is not believed
    assert case.done.records == 0
    case.rounds(2, seconds=2.0)
    assert case.broker.tried == [{P0: 1}, {P0: 1}]


@pytest.mark.parametrize("answer", [Unknown(KafkaConnectionError("no broker")), None])
def test_a_producer_that_cannot_be_opened_is_tried_again(answer: Result | None) -> None:
    case = Case()
    case.broker.openings.append(answer)
    case.batch(entry(0))
    case.rounds(1)
    assert case.done.records == 0
    case.rounds(4, seconds=POLICY.rebuild_attempt_s + 1)
    assert len(case.session.producers) == 2
    assert case.done.records == 1


@pytest.mark.parametrize(
    ("fault", "opens", "told"),
    [
        (refused(KafkaConnectionError("as told")), True, "as told"),
        (lost(carried_out=False), True, "connection lost"),
        (silent(carried_out=False), True, "no answer for"),
        (lost(carried_out=False), False, "no broker"),
    ],
)
def test_failing_for_longer_than_the_limit_ends_the_worker_and_says_why(
    fault: Fault, opens: bool, told: str
) -> None:
    # Given commits that fail again and again, with producers that open or do not
    case = Case(POLICY.model_copy(update={"rebuild_limit_s": 60.0}), *[fault] * 1000)
    case.batch(entry(0))
    case.rounds(2)
    if not opens:
        case.broker.openings.extend([Unknown(KafkaConnectionError("no broker"))] * 1000)
    began = case.clock.now
    # When that lasts; then the worker ends, after the limit and with nothing committed
    with pytest.raises(Fatal, match="nothing could be committed for") as raised:
        case.rounds(1000, seconds=1.0)
    assert 60 < case.clock.now - began < 60 + 2 * POLICY.transaction_deadline_s
    assert told in str(raised.value)
    assert "check the brokers" in str(raised.value)
    assert case.done.records == 0


def test_one_commit_between_failures_starts_the_limit_anew() -> None:
    policy = POLICY.model_copy(update={"rebuild_limit_s": 60.0})
    case = Case(policy, *[refused()] * 20)
    case.batch(entry(0))
    case.rounds(80, seconds=1.0)
    case.broker.faults.extend([refused()] * 20)
    case.batch(entry(1))
    case.rounds(80, seconds=1.0)
    assert case.done.records == 2


def test_records_of_a_partition_that_is_lost_before_the_commit_are_dropped() -> None:
    case = Case()
    case.rounds(1)
    case.batch(*entries(0, 0, 1), *entries(1, 4))
    case.session.revoke(P0)
    case.rounds(1)
    assert case.broker.tried == [{P1: 5}]
    assert (case.done.records, case.held.records, case.delivery.records) == (1, 0, 0)


def test_records_of_a_partition_that_was_lost_and_came_back_are_dropped() -> None:
    # Its other owner may have committed them meanwhile.
    case = Case()
    case.rounds(1)
    case.batch(entry(0))
    case.session.revoke(P0)
    case.session.assign(P0)
    case.rounds(1)
    assert case.broker.tried == []
    assert (case.done.records, case.held.records, case.delivery.idle) == (0, 0, True)


def test_nothing_is_sent_while_the_worker_is_no_member() -> None:
    case = Case()
    case.session.member = False
    case.batch(entry(0))
    case.rounds(5)
    assert case.broker.tried == []
    case.session.member = True
    case.rounds(1)
    assert case.done.records == 1


def test_too_many_dead_records_end_the_worker_before_anything_is_sent() -> None:
    policy = POLICY.model_copy(update={"dead_letter_rate": 0.5, "dead_letter_minimum": 3})
    case = Case(policy)
    case.rounds(1)
    dead = entries(0, 0, 1, 2)
    for each in dead:
        each.outcome = Dead("as told")
    with pytest.raises(Fatal, match="3 of the last 3 records are dead"):
        case.batch(*dead)
    case.rounds(1)
    assert case.broker.tried == []


def test_idle_positions_are_committed_and_not_offered_again() -> None:
    case = Case()
    case.session.positions |= {P0: 7, P1: 9}
    case.rounds(1)
    free = [case.delivery.free]
    case.delivery.commit_positions(case.idle.moved([P0, P1]))
    free.append(case.delivery.free)
    case.rounds(1)
    assert [*free, case.delivery.free] == [True, False, True]
    assert case.broker.committed == {P0: 7, P1: 9}
    case.clock.now += POLICY.idle_commit_s
    assert case.idle.moved([P0, P1]) == {}


def test_a_batch_waits_for_the_answer_to_the_positions_before_it() -> None:
    case = Case()
    case.rounds(1)
    case.session.positions[P0] = 7
    case.delivery.commit_positions({P0: (1, 7)})
    case.batch(entry(7))
    case.delivery.step()
    assert case.broker.tried == [{P0: 7}]
    case.rounds(2)
    assert case.broker.tried == [{P0: 7}, {P0: 8}]


@pytest.mark.parametrize("fault", [refused(), lost(carried_out=False), silent(carried_out=False)])
def test_idle_positions_that_fail_are_offered_anew_and_not_sent_again(fault: Fault) -> None:
    case = Case(POLICY, fault)
    case.rounds(1)
    case.session.positions[P0] = 7
    case.delivery.commit_positions(case.idle.moved([P0]))
    case.rounds(4, seconds=POLICY.transaction_deadline_s + 1)
    assert (len(case.broker.tried), case.delivery.free) == (1, True)
    assert case.idle.moved([P0]) == {P0: (1, 7)}


def test_idle_positions_of_a_partition_that_is_lost_are_not_committed() -> None:
    case = Case()
    case.rounds(1)
    case.session.positions |= {P0: 7, P1: 9}
    reached = case.idle.moved([P0, P1])
    case.session.revoke(P0)
    case.session.assign(P0)
    case.delivery.commit_positions(reached)
    case.rounds(1)
    assert case.broker.committed == {P1: 9}
