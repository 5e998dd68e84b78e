"""The poll thread, step by step, with the real other threads and a session in memory."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kaption.connections.errors import Fatal
from kaption.schemas import RawPair
from kaption.schemas.topics import DEAD, REJECTED
from kaption.workers.runtime.stage import Incoming
from support.engine import ECHO, POLICY, Toy
from support.fake_session import P0, P1
from support.poll_rig import LIMIT_S, NEVER_S, Gate, Shards, rig

pytestmark = pytest.mark.slow


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

    def resume(
        self, topic: str, partition: int, committed: int, topic_id: str | None = None
    ) -> int:
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

    def first_fails(topic: str, partition: int, committed: int, topic_id: str | None) -> int:
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
        it.until(lambda: it.records_held > 0 and it.session.paused == {P0, P1})
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
        it.until(lambda: it.records_held > 0 and it.session.paused == {P0, P1})
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
        it.until(lambda: it.session.polls > 0 and not it.parts.resumption.asked)
        it.session.positions[P1] = 3  # behind a transaction marker
        it.until(lambda: it.broker.committed == {P1: 3})
        it.until(gate.reached.is_set)
        it.steps(5)
        assert P0 not in it.broker.committed
        gate.opened.set()
        it.until(lambda: it.broker.committed == {P0: 1, P1: 3})
