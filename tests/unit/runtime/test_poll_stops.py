"""A poll loop that was asked to stop: what it still commits, and when it gives up."""

from __future__ import annotations

import pytest

from kaption.schemas import RawPair
from kaption.workers.runtime import delivery
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.stage import Incoming
from support.engine import ECHO, POLICY, Toy
from support.fake_session import P0, P1, Fault, lost, refused, silent
from support.poll_rig import LIMIT_S, NEVER_S, Gate, Shards, down, rig

pytestmark = pytest.mark.slow


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
        assert it.broker.committed.get(P0, 0) == 0


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
