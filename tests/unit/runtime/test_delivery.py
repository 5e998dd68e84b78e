"""Every outcome of a commit: what is committed, sent again, dropped, counted and told."""

from __future__ import annotations

import pytest

from kaption.connections.errors import Fatal
from kaption.workers.runtime.stage import Dead
from support.delivery_rig import Case, entries
from support.engine import POLICY
from support.entries import entry
from support.fake_session import (
    P0,
    P1,
    Fault,
    lost,
    refused,
    silent,
)


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
