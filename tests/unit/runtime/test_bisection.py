from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.connections.errors import Fatal, Retry
from kaption.schemas import Reason
from kaption.workers.runtime.backoff import Stopped
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.stage import Dead, Emit, OutOfMemory, Reject
from support.engine import POLICY, Probed, Toy
from support.entries import bisection, entry


@pytest.mark.slow
@given(
    st.lists(st.booleans(), min_size=1, max_size=40),
    st.integers(min_value=0, max_value=60),
)
def test_exactly_the_culprits_are_dead(poisoned: list[bool], riders: int) -> None:
    # Given a batch with some that were refused before, which says nothing about the stage
    entries = [entry(n, "poison" if bad else "text") for n, bad in enumerate(poisoned)]
    refused = [entry(len(poisoned) + n) for n in range(riders)]
    for each in refused:
        each.outcome = Reject(Reason.TOO_SMALL)
    if all(poisoned) and len(poisoned) >= POLICY.broken_stage_records:
        with pytest.raises(Fatal, match="toy that is broken"):
            bisection(Toy()).run(entries + refused)
        return
    bisection(Toy()).run(entries + refused)
    assert [isinstance(item.outcome, Dead) for item in entries] == poisoned
    assert all(isinstance(item.outcome, (Dead, Emit)) for item in entries)
    assert all(isinstance(item.outcome, Reject) for item in refused)


@pytest.mark.parametrize("bad", [1, 4, 16])
def test_where_the_probe_works_the_records_are_bad_however_many(bad: int) -> None:
    # Given a batch of which every record fails, in process or in preparation
    stage = Probed()
    entries = [entry(n, "poison") for n in range(bad)]
    unprepared = entry(99)
    unprepared.die("KeyError: 'x'", unexpected=True)
    # When the stage works with a good record
    bisection(stage).run([*entries, unprepared])
    # Then these are dead letters; a failed preparation is not held against the record
    assert all(isinstance(item.outcome, Dead) for item in entries)
    assert [item.own_fault for item in (*entries, unprepared)] == [True] * bad + [False]
    assert stage.probes == 1


@pytest.mark.parametrize("texts", [["poison"], ["poison"] * 4, ["text", "poison", "text"]])
def test_where_the_probe_fails_the_stage_is_broken_however_few(texts: list[str]) -> None:
    stage = Probed(broken=RuntimeError("CUDA error"))
    with pytest.raises(Fatal) as raised:
        bisection(stage).run([entry(n, text) for n, text in enumerate(texts)])
    told = str(raised.value)
    assert told.startswith("the stage toy is broken: it fails with pairs.raw/0/")
    assert "ValueError: poisoned" in told
    assert "RuntimeError: CUDA error" in told


def test_no_probe_is_made_while_nothing_fails_unexpectedly() -> None:
    stage = Probed(broken=RuntimeError("not asked"))
    refused = entry(1)
    refused.outcome = Dead("as told")
    bisection(stage).run([entry(0), refused])
    assert stage.probes == 0


def test_a_probe_that_waits_for_a_server_is_made_again() -> None:
    stage = Probed(broken=Retry("down"))
    with pytest.raises(Stopped):
        bisection(stage, stopping=True).run([entry(0, "poison")])


def test_a_lack_of_memory_is_not_held_against_the_record() -> None:
    stage = Probed()

    def full(texts: Sequence[str]) -> None:
        raise OutOfMemory

    stage.before = full
    entries = [entry(n) for n in range(4)]
    bisection(stage).run(entries)
    assert [item.own_fault for item in entries] == [False] * 4


def test_a_culprit_is_tried_again_before_it_is_dead() -> None:
    stage = Toy()
    alone: list[int] = []

    def fails_twice(texts: Sequence[str]) -> None:
        if len(texts) == 1:
            alone.append(1)
        if "shaky" in texts and len(alone) < 3:
            raise ValueError("not yet")

    stage.before = fails_twice
    entries = [entry(0, "shaky")]
    bisection(stage).run(entries)
    assert isinstance(entries[0].outcome, Emit)


def test_the_size_that_fits_is_remembered() -> None:
    stage = Toy()

    def too_large(texts: Sequence[str]) -> None:
        if len(texts) > 3:
            raise OutOfMemory

    stage.before = too_large
    solver = bisection(stage)
    solver.run([entry(n) for n in range(8)])
    assert stage.sizes == [8, 4, 2, 2, 2, 2]
    solver.run([entry(n) for n in range(4)])
    assert stage.sizes[6:] == [2, 2]


def test_a_record_too_large_alone_is_dead_and_the_rest_goes_on() -> None:
    stage = Toy()

    def too_large(texts: Sequence[str]) -> None:
        if "huge" in texts:
            raise MemoryError("huge")

    stage.before = too_large
    entries = [entry(0), entry(1, "huge"), entry(2)]
    bisection(stage).run(entries)
    assert [type(item.outcome) for item in entries] == [Emit, Dead, Emit]


def test_retry_is_no_failure() -> None:
    stage, tries = Toy(), [0]

    def down(texts: Sequence[str]) -> None:
        tries[0] += 1
        if tries[0] < 6:
            raise Retry("down")

    stage.before = down
    entries = [entry(0), entry(1)]
    bisection(stage).run(entries)
    assert [item.attempts for item in entries] == [0, 0]


def test_asked_to_stop_it_gives_up_between_tries() -> None:
    stage = Toy()

    def down(texts: Sequence[str]) -> None:
        raise Retry("down")

    stage.before = down
    with pytest.raises(Stopped):
        bisection(stage, stopping=True).run([entry(0)])
    assert stage.sizes == [1]


def test_a_wrong_number_of_outcomes_is_fatal() -> None:
    class Short(Toy):
        def process(self, batch: Sequence[object]) -> list[Emit]:
            return []

    items: list[Entry] = [entry(0)]
    with pytest.raises(Fatal, match="0 outcomes for 1 records"):
        bisection(Short()).run(items)
