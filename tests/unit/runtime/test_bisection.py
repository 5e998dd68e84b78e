import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.connections.errors import Fatal, Retry
from kaption.schemas import Reason
from kaption.workers.runtime.backoff import Backoff, Stopped
from kaption.workers.runtime.bisection import Bisection
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.stage import Dead, Emit, OutOfMemory, Reject
from kaption.workers.runtime.stop import StopRequest
from support.engine import POLICY, Toy
from support.entries import entry


def bisection(stage: Toy, stopping: bool = False) -> Bisection:
    policy = POLICY.model_copy(update={"retry_initial_s": 0.001, "retry_max_s": 0.002})
    stop = StopRequest(time.monotonic)
    if stopping:
        stop.ask()
    backoff = Backoff(policy, random.Random(1), stop, lambda error: None)
    return Bisection(stage, policy, backoff)


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
