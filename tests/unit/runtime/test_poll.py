"""The poll thread, step by step, with the real other threads and a session in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import pytest

from kaption.connections.errors import Fatal, Retry
from kaption.connections.kafka.messages import Partition
from kaption.connections.settings import KafkaConnection
from kaption.schemas import RawPair
from kaption.schemas.topics import DEAD, RAW, REJECTED
from kaption.workers.runtime import delivery
from kaption.workers.runtime.parts import Parts
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.poll import Poll
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Batching, Incoming
from kaption.workers.runtime.worker import Worker
from support.engine import ECHO, POLICY, Toy
from support.fake_session import FakeBroker, FakeSession, Fault, lost, refused, silent

pytestmark = pytest.mark.slow

P0, P1 = Partition(RAW.name, 0), Partition(RAW.name, 1)
LIMIT_S = 20.0
NEVER_S = 60.0
"""A wait that no test can afford to sit through."""


class Rig:
    """A worker's parts as the worker puts them together; the test is the poll thread."""

    def __init__(self, stage: Toy, policy: RuntimePolicy) -> None:
        self.broker = FakeBroker()
        self.session = FakeSession(self.broker)
        self.worker = Worker(stage, KafkaConnection(), policy)
        self.poll: Poll = self.worker._assemble(cast(Session, self.session))
        self.parts: Parts = self.poll._parts

    def until(self, condition: Callable[[], bool]) -> None:
        """Step until `condition` holds."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            self.poll.step()

    def steps(self, number: int) -> None:
        for _ in range(number):
            self.poll.step()

    def drain(self) -> float:
        """Stop gracefully; returns how many seconds it took."""
        began = time.monotonic()
        self.worker.stop()
        self.until(lambda: self.poll.drained)
        return time.monotonic() - began

    @property
    def records(self) -> int:
        return self.worker.progress.snapshot().records


@contextmanager
def rig(stage: Toy | None = None, policy: RuntimePolicy = POLICY) -> Iterator[Rig]:
    """Started, with two partitions assigned; its threads are ended after the block."""
    made = Rig(stage or Toy(records=4, wait_s=0.01), policy)
    made.poll.start()
    made.session.assign(P0, P1)
    try:
        yield made
    finally:
        made.worker.stop()
        assert made.poll.stop(LIMIT_S)


class Gate:
    """Holds a call up until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, texts: Sequence[str]) -> None:
        self.reached.set()
        assert self.opened.wait(LIMIT_S)


class Shards(Toy):
    """A batch is one partition's shard, as at the sink."""

    def __init__(self, records: int = 4) -> None:
        super().__init__()
        self._batching = Batching(records, NEVER_S, per_partition=True)


def down(*_: object) -> None:
    raise Retry("the store is down", after_s=NEVER_S)


def test_each_record_has_one_outcome_in_its_topic_and_all_offsets_are_committed() -> None:
    with rig() as it:
        it.broker.produce(P0, ["text", "reject", "text", b"no json"])
        it.broker.produce(P1, ["dead", "text", "poison"])
        it.until(lambda: it.records == 7)
        assert it.broker.committed == {P0: 4, P1: 3}
        assert it.broker.outcomes() == {
            ECHO.name: {"0/0": 1, "0/2": 1, "1/1": 1},
            REJECTED.name: {"0/1": 1},
            DEAD.name: {"0/3": 1, "1/0": 1, "1/2": 1},
        }
        assert it.parts.progress.held.records == 0


def test_a_partition_lost_while_its_batch_is_in_compute_is_not_committed() -> None:
    stage, gate = Toy(records=4, wait_s=0.01), Gate()
    stage.before = gate
    with rig(stage) as it:
        it.broker.produce(P0, ["text"] * 2)
        it.broker.produce(P1, ["text"] * 2)
        it.until(gate.reached.is_set)
        # When one partition goes to another worker in the meantime
        it.session.revoke(P0)
        gate.opened.set()
        it.until(lambda: it.records == 2)
        # Then only the other one is committed, and nothing is held for the lost one
        assert it.broker.committed == {P1: 2}
        it.until(lambda: it.parts.progress.held.records == 0)


def test_a_partition_lost_before_its_batch_is_full_leaves_nothing_behind() -> None:
    with rig(Toy(records=100, wait_s=NEVER_S)) as it:
        it.broker.produce(P0, ["text"] * 5)
        it.until(lambda: it.parts.batcher.open_entries == 5)
        it.session.revoke(P0)
        it.steps(2)
        assert (it.parts.progress.held.records, it.parts.batcher.open_entries) == (0, 0)


def test_a_partition_that_comes_back_is_read_from_its_committed_offset() -> None:
    with rig() as it:
        it.broker.produce(P0, ["text"] * 4)
        it.until(lambda: it.records == 4)
        it.session.revoke(P0)
        it.broker.committed[P0] = 2
        it.session.assign(P0)
        it.until(lambda: it.broker.committed[P0] == 4)
        assert it.broker.outcomes()[ECHO.name]["0/1"] == 1
        assert it.broker.outcomes()[ECHO.name]["0/2"] == 2


def test_what_ends_preparation_is_raised_by_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Toy()

    def fails(message: Incoming[RawPair]) -> str:
        raise Fatal("the model is wrong")

    monkeypatch.setattr(stage, "prepare", fails)
    with rig(stage) as it:
        it.broker.produce(P0, ["text"])
        with pytest.raises(Fatal, match="the model is wrong"):
            it.until(lambda: False)


def test_what_ends_compute_is_raised_by_the_step() -> None:
    stage = Toy(records=4, wait_s=0.01)

    def fails(texts: Sequence[str]) -> None:
        raise Fatal("the model is wrong")

    stage.before = fails
    with rig(stage) as it:
        it.broker.produce(P0, ["text"])
        with pytest.raises(Fatal, match="the model is wrong"):
            it.until(lambda: False)
        assert it.broker.messages == []


class Resuming(Toy):
    """Its truth lies outside Kafka."""

    def __init__(self) -> None:
        super().__init__(records=4, wait_s=0.01)
        self.gate = Gate()
        self.gate.opened.set()
        self.error: BaseException | None = None
        self.starts = {0: 0, 1: 0}

    def resume(self, topic: str, partition: int, committed: int) -> int:
        self.gate([])
        if self.error is not None:
            raise self.error
        return max(committed, self.starts[partition])


def test_a_partition_is_read_from_where_the_stage_says_and_not_before_it_does() -> None:
    stage = Resuming()
    stage.gate.opened.clear()
    stage.starts[0] = 3
    with rig(stage) as it:
        it.broker.produce(P0, ["text"] * 5)
        it.steps(5)
        assert it.parts.progress.held.records == 0
        stage.gate.opened.set()
        it.until(lambda: it.records == 2)
        assert set(it.broker.outcomes()[ECHO.name]) == {"0/3", "0/4"}


def test_what_resume_raises_is_raised_by_the_step() -> None:
    stage = Resuming()
    stage.error = Fatal("the manifests are broken")
    with rig(stage) as it, pytest.raises(Fatal, match="manifests are broken"):
        it.until(lambda: False)


def test_an_error_for_an_earlier_assignment_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, asked = Resuming(), list[int]()
    stage.gate.opened.clear()

    def first_fails(topic: str, partition: int, committed: int) -> int:
        asked.append(partition)
        stage.gate([])
        if len(asked) == 1:
            raise ValueError("of an earlier assignment")
        return committed

    monkeypatch.setattr(Resuming, "resume", lambda self, *arguments: first_fails(*arguments))
    with rig(stage) as it:
        it.broker.produce(P0, ["text"] * 3)
        it.steps(2)
        assert stage.gate.reached.wait(LIMIT_S)
        # When the partition comes again while the first question is still open
        it.session.revoke(P0)
        it.session.assign(P0)
        it.steps(2)
        stage.gate.opened.set()
        # Then the second answer counts
        it.until(lambda: it.records == 3)


def test_reading_stops_when_enough_is_held_and_the_membership_is_kept() -> None:
    stage, gate = Toy(records=4, wait_s=0.01), Gate()
    stage.before = gate
    with rig(stage) as it:
        it.broker.produce(P0, ["text"] * 500)
        it.until(lambda: it.session.paused == {P0, P1})
        # Given that all is paused: no more is read, but poll() is still called now and then
        held, polls = it.parts.progress.held.records, it.session.polls
        assert held < 60
        it.steps(4)
        assert it.parts.progress.held.records == held
        assert polls < it.session.polls <= polls + 4
        # When the stage goes on, then so does reading
        gate.opened.set()
        it.until(lambda: it.records == 500)


def test_reading_stops_when_the_bytes_that_may_be_held_are_reached() -> None:
    with rig(Toy(records=100, wait_s=NEVER_S), POLICY.model_copy(update={"prefetch_bytes": 1})) as (
        it
    ):
        it.broker.produce(P0, ["text"] * 3)
        it.until(lambda: it.session.paused == {P0, P1})
        # Then the open batch goes as it is: no record could come to fill it
        it.until(lambda: it.records == 3)


def test_a_shard_that_is_written_holds_up_its_own_partition_only() -> None:
    stage, gate = Shards(), Gate()

    def first_partition_waits(texts: Sequence[str]) -> None:
        if "slow" in texts:
            gate(texts)

    stage.before = first_partition_waits
    with rig(stage) as it:
        it.broker.produce(P0, ["slow"] * 4)
        it.until(gate.reached.is_set)
        it.steps(1)
        assert it.session.paused == {P0}
        it.broker.produce(P1, ["text"] * 3)
        it.until(lambda: it.parts.progress.held.records == 7)
        gate.opened.set()
        it.until(lambda: it.records == 4)


def test_idle_positions_are_committed_and_not_while_records_are_held() -> None:
    stage, gate = Toy(records=4, wait_s=0.01), Gate()
    stage.before = gate
    policy = POLICY.model_copy(update={"idle_commit_s": 0.001})
    with rig(stage, policy) as it:
        it.broker.produce(P0, ["text"])
        it.session.positions[P1] = 3  # behind a transaction marker
        it.until(lambda: it.broker.committed == {P1: 3})
        it.until(gate.reached.is_set)
        it.steps(5)
        assert P0 not in it.broker.committed
        gate.opened.set()
        it.until(lambda: it.broker.committed == {P0: 1, P1: 3})


def test_a_stop_commits_the_batch_in_compute_and_nothing_that_comes_after_it() -> None:
    stage, gate = Toy(records=2, wait_s=0.01), Gate()
    stage.before = gate
    policy = POLICY.model_copy(update={"idle_commit_s": 0.001})
    with rig(stage, policy) as it:
        it.broker.produce(P0, ["text"] * 20)
        it.until(gate.reached.is_set)
        it.worker.stop()
        it.steps(3)
        assert not it.poll.drained
        gate.opened.set()
        it.drain()
        # Then the records that were read and not processed are committed by nobody
        assert it.broker.committed[P0] == 2
        assert it.broker.outcomes() == {ECHO.name: {"0/0": 1, "0/1": 1}}


def test_a_stop_writes_the_open_shards() -> None:
    with rig(Shards(records=100)) as it:
        it.broker.produce(P0, ["text"] * 3)
        it.broker.produce(P1, ["text"] * 2)
        it.until(lambda: it.parts.batcher.open_entries == 5)
        it.drain()
        assert it.broker.committed == {P0: 3, P1: 2}


@pytest.mark.parametrize("where", ["prepare", "process"])
def test_a_stop_during_a_back_off_gives_the_records_up_at_once(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Toy(records=4, wait_s=0.01)
    monkeypatch.setattr(stage, where, down)
    with rig(stage, POLICY.model_copy(update={"idle_commit_s": 0.001})) as it:
        it.broker.produce(P0, ["text"] * 8)
        it.until(lambda: it.worker.progress.waiting_for == "the store is down")
        assert it.drain() < LIMIT_S
        it.steps(3)
        assert P0 not in it.broker.committed


def test_a_shard_is_written_up_to_the_record_whose_preparation_a_stop_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Shards(records=100)
    real = stage.prepare

    def third_fails(message: Incoming[RawPair]) -> str:
        if message.record.text == "down":
            down()
        return real(message)

    monkeypatch.setattr(stage, "prepare", third_fails)
    with rig(stage) as it:
        it.broker.produce(P0, ["text", "text", "down", "text"])
        it.broker.produce(P1, ["text"])
        it.until(lambda: it.parts.batcher.open_entries == 3)
        # When a stop ends the wait; then what stands before the record in its partition is kept
        assert it.drain() < LIMIT_S
        assert it.broker.committed == {P0: 2, P1: 1}


def test_a_batch_that_does_not_end_is_abandoned_after_the_grace_period() -> None:
    stage, gate = Toy(records=4, wait_s=0.01), Gate()
    stage.before = gate
    with rig(stage, POLICY.model_copy(update={"grace_s": 0.3})) as it:
        it.broker.produce(P0, ["text"] * 4)
        it.until(gate.reached.is_set)
        assert 0.3 <= it.drain() < LIMIT_S
        assert not it.poll.finished
        assert not it.poll.stop(0.01)
        gate.opened.set()


def test_results_are_still_committed_within_the_grace_period() -> None:
    with rig() as it:
        it.broker.produce(P0, ["text"] * 4)
        it.session.member = False
        it.until(lambda: it.parts.delivery.records == 4)
        it.worker.stop()
        it.steps(3)
        assert not it.poll.drained
        it.session.member = True
        it.drain()
        assert it.broker.committed == {P0: 4}


FAULTS = {
    "committed": None,
    "refused": refused(),
    "too large": refused(too_large=[0]),
    "unknown, committed": lost(carried_out=True),
    "unknown, not committed": lost(carried_out=False),
    "no answer, committed": silent(carried_out=True),
    "no answer, not committed": silent(carried_out=False),
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> RuntimePolicy:
    """Waits after a failed commit that a test can afford."""
    monkeypatch.setattr(delivery, "_PAUSE_BETWEEN_OPENINGS_S", 0.05)
    return POLICY.model_copy(update={"transaction_deadline_s": 0.2, "grace_s": NEVER_S})


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_stop_waits_until_the_outcome_of_the_last_commit_is_known(
    fault: Fault | None, quick: RuntimePolicy
) -> None:
    # Given a batch in compute, and something that goes wrong with its commit
    stage, gate = Toy(records=4, wait_s=0.01), Gate()
    stage.before = gate
    with rig(stage, quick) as it:
        it.broker.produce(P0, ["text"] * 4)
        it.until(gate.reached.is_set)
        if fault is not None:
            it.broker.faults.append(fault)
        # When the worker is stopped and the batch ends
        it.worker.stop()
        gate.opened.set()
        it.drain()
        # Then it leaves when each record has its outcome, once, without another inference
        assert it.broker.committed[P0] == 4
        outcomes = it.broker.outcomes()
        assert sum(sum(topic.values()) for topic in outcomes.values()) == 4
        assert set(stage.processed.values()) == {1}


@pytest.mark.parametrize("fault", [refused(), lost(carried_out=False), silent(carried_out=False)])
def test_a_commit_that_keeps_failing_after_a_stop_is_given_up_after_the_grace_period(
    fault: Fault, quick: RuntimePolicy
) -> None:
    with rig(policy=quick.model_copy(update={"grace_s": 0.5})) as it:
        it.broker.faults.extend([fault] * 1000)
        it.broker.produce(P0, ["text"] * 4)
        it.until(lambda: it.parts.delivery.records == 4)
        assert 0.5 <= it.drain() < LIMIT_S
        assert not it.poll.finished
        assert it.broker.committed.get(P0, 0) == 0
