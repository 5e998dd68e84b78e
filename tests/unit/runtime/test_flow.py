"""How much is read ahead, how long a poll waits, and what is paused."""

from typing import cast

import pytest

from kaption.connections.kafka.messages import Partition
from kaption.connections.settings import KafkaConnection
from kaption.schemas.topics import RAW
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.flow import Flow
from kaption.workers.runtime.parts import Parts
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Emit
from kaption.workers.runtime.worker import Worker
from support.engine import POLICY, Toy
from support.entries import entry
from support.fake_session import FakeBroker, FakeSession

P0, P1 = Partition(RAW.name, 0), Partition(RAW.name, 1)
LIMIT = 2 * 16 + POLICY.prepare_threads
"""Records that are read ahead with batches of 16: two batches, and one for each thread."""


class Case:
    """The flow of a worker whose other parts a test fills by hand. No thread is started."""

    def __init__(self) -> None:
        self.session = FakeSession(FakeBroker())
        self.session.assign(P0, P1)
        self.worker = Worker(Toy(records=16), KafkaConnection(), POLICY)
        self.parts: Parts = self.worker._assemble(cast(Session, self.session))._parts
        self.flow = Flow(self.parts)

    def hold(self, number: int) -> list[Entry]:
        """Read records that stay in preparation."""
        entries = [entry(offset) for offset in range(number)]
        self.parts.progress.held.add(entries)
        return entries


@pytest.fixture
def case() -> Case:
    return Case()


def test_two_batches_and_a_record_for_each_thread_are_read_ahead(case: Case) -> None:
    assert case.flow.room() == LIMIT
    case.hold(10)
    assert case.flow.room() == LIMIT - 10


def test_nothing_is_read_once_it_is_full_until_half_of_it_is_empty(case: Case) -> None:
    entries = case.hold(LIMIT)
    assert case.flow.room() == 0
    case.parts.progress.held.release(entries[: LIMIT // 2])
    assert case.flow.room() == 0
    case.parts.progress.held.release(entries[LIMIT // 2 : LIMIT // 2 + 1])
    assert case.flow.room() == LIMIT // 2 + 1


def test_records_of_an_open_batch_do_not_count(case: Case) -> None:
    entries = case.hold(5)
    case.parts.batcher.add(entries)
    case.parts.batcher.advance(entries)
    assert case.flow.room() == LIMIT


def test_records_in_delivery_do_not_count_up_to_one_transaction(case: Case) -> None:
    entries = case.hold(POLICY.transaction_records + 10)
    for each in entries:
        each.outcome = Emit(())
    case.parts.delivery.add(entries)
    assert case.flow.room() == LIMIT - 10


def test_nothing_is_read_and_all_is_paused_once_a_stop_is_asked(case: Case) -> None:
    case.worker.stop()
    room = case.flow.room()
    assert room == 0
    assert case.flow.pause(room)
    assert case.session.paused == {P0, P1}


def test_a_new_partition_is_paused_with_the_others(case: Case) -> None:
    case.worker.stop()
    assert case.flow.pause(0)
    case.session.assign(Partition(RAW.name, 2))
    assert case.flow.pause(0)
    assert len(case.session.paused) == 3


def test_a_partition_whose_start_is_not_known_is_paused_alone(case: Case) -> None:
    case.parts.resumption.asked[P0] = 1
    assert not case.flow.pause(LIMIT)
    assert case.session.paused == {P0}


def test_a_poll_waits_long_only_with_nothing_else_to_do(case: Case) -> None:
    # Given a worker that has no producer yet, then one that is idle
    assert case.flow.wait_s(still=False) < POLICY.poll_s / 10
    case.parts.delivery.step()
    case.parts.mailbox.work(0.0)
    assert case.flow.wait_s(still=False) == POLICY.poll_s
    # When records are held, then their results may come any moment
    case.hold(1)
    assert 0 < case.flow.wait_s(still=False) < POLICY.poll_s / 10
    # When all is paused, then no record can come
    assert case.flow.wait_s(still=True) == 0


def test_a_poll_waits_long_while_the_worker_joins_its_group(case: Case) -> None:
    case.session.joining = True
    case.hold(1)
    assert case.flow.wait_s(still=True) == POLICY.poll_s


def test_a_poll_asks_for_at_least_one_record_and_for_no_flood(case: Case) -> None:
    assert [case.flow.poll_records(room) for room in (0, 5, 10**6)] == [1, 5, 1024]
