"""What delivery does about a commit that was refused or whose outcome is unknown."""

from __future__ import annotations

import pytest
from kafka.errors import KafkaConnectionError
from prometheus_client import REGISTRY

from kaption.connections.errors import Fatal
from kaption.connections.kafka.transaction import Committed, Result, Unknown
from kaption.schemas.topics import DEAD
from support.delivery_rig import Case, entries
from support.engine import ECHO, POLICY
from support.entries import entry
from support.fake_session import (
    P0,
    P1,
    Fault,
    lost,
    refused,
    silent,
)


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
    # Then only the other one is sent again, and counted: that worker has counted the rest
    assert case.broker.tried == [{P0: 1, P1: 6}, {P0: 1}]
    assert (case.done.records, case.held.records, case.delivery.records) == (1, 0, 0)


def test_an_unknown_outcome_that_is_committed_is_counted_though_the_partition_is_lost() -> None:
    case = Case(POLICY, lost(carried_out=True))
    case.batch(entry(0), entry(5, partition=1))
    case.rounds(2)
    # Given that both partitions went to another worker, which goes on behind these records
    case.session.revoke(P0, P1)
    case.broker.committed |= {P0: 3, P1: 9}
    case.rounds(2, seconds=2.0)
    assert (case.done.records, case.held.records, case.delivery.idle) == (2, 0, True)


@pytest.mark.parametrize("answer", [Unknown(KafkaConnectionError("no broker")), None])
@pytest.mark.parametrize("attempts", [0, 1, 3])
def test_a_transaction_is_counted_once_however_often_no_producer_opens_after_it(
    answer: Result | None, attempts: int
) -> None:
    before = {result: _transactions(result) for result in ("unknown", "committed")}
    case = Case(POLICY, lost(carried_out=False))
    case.batch(entry(0))
    case.rounds(2)
    case.broker.openings.extend([answer] * attempts)
    case.rounds(4 * attempts + 6, seconds=POLICY.rebuild_attempt_s + 1)
    assert len(case.session.producers) == 2 + attempts
    assert _transactions("unknown") - before["unknown"] == 1
    assert _transactions("committed") - before["committed"] == 1


def test_a_commit_of_positions_alone_is_counted_when_its_outcome_is_unknown() -> None:
    before = _transactions("unknown")
    case = Case(POLICY, lost(carried_out=False))
    case.rounds(1)
    case.delivery.commit_positions({P0: (case.session.ownership.epoch(P0), 4)})
    case.rounds(1)
    assert case.broker.tried == [{P0: 4}]
    assert _transactions("unknown") - before == 1


def _transactions(result: str) -> float:
    labels = {"stage": "toy", "result": result}
    return REGISTRY.get_sample_value("kaption_transactions_total", labels) or 0.0


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


@pytest.mark.parametrize("records", [True, False])
def test_a_failure_that_alternates_with_an_empty_success_adds_up(records: bool) -> None:
    # Given commits of records, or of positions alone, that fail time and again
    case = Case(POLICY.model_copy(update={"rebuild_limit_s": 60.0}))
    began = case.clock.now

    def fails_now_and_then() -> None:
        for offset in range(100):
            case.rounds(3, seconds=1.0)  # a producer opens
            case.broker.faults.append(refused())
            if records:
                case.batch(entry(offset))
                case.rounds(2)
                case.session.revoke(P0)  # so that positions are committed in between
                case.session.assign(P0)
                case.rounds(2, seconds=1.0)
            case.clock.now += POLICY.idle_commit_s
            case.session.positions[P0] = offset
            case.delivery.commit_positions(case.idle.moved([P0]))
            case.rounds(2)

    # When that lasts, then the worker ends after the limit
    with pytest.raises(Fatal, match="nothing could be committed for"):
        fails_now_and_then()
    assert 60 < case.clock.now - began < 90
