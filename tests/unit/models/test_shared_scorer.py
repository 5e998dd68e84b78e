"""Stages of one process share a scorer."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from typing import Any, cast

import pytest

from kaption.connections.errors import Fatal
from kaption.workers.models.scorer import Scorer
from kaption.workers.models.shared import shared
from kaption.workers.policy.score import ClipPolicy


class Counting:
    """Notes calls that overlap."""

    model = "counting"

    def __init__(self, policy: ClipPolicy) -> None:
        self.loaded_with = policy
        self.busy = Lock()
        self.overlaps = 0
        self.together = Barrier(4)

    def encode_images(self, pixels: Any) -> Any:
        return self._used(pixels)

    def encode_texts(self, texts: Any) -> Any:
        return self._used(texts)

    def preprocess(self, image: Any) -> Any:
        self.together.wait(10)
        return image

    def _used(self, given: Any) -> Any:
        if not self.busy.acquire(blocking=False):
            self.overlaps += 1
            return given
        time.sleep(0.002)
        self.busy.release()
        return given


def load(policy: ClipPolicy) -> Scorer:
    return cast(Scorer, Counting(policy))


def test_stages_with_one_policy_load_one_scorer_at_the_same_time() -> None:
    # Given four stages that are set up at the same time, two of them with another model
    policies = [ClipPolicy(model="a"), ClipPolicy(model="b")] * 2
    with ThreadPoolExecutor(4) as pool:
        scorers = list(pool.map(lambda policy: shared(policy, load), policies))
    # Then those with one policy have one scorer
    assert scorers[0] is scorers[2]
    assert scorers[1] is scorers[3]
    assert scorers[0] is not scorers[1]


def test_calls_of_several_stages_do_not_overlap_but_preprocessing_does() -> None:
    scorer: Any = shared(ClipPolicy(model="a"), load)
    calls = [scorer.encode_images, scorer.encode_texts] * 20
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda call: call(["given"]), calls))
        # Each of the four waits for the others within `preprocess`.
        assert list(pool.map(scorer.preprocess, range(4))) == [0, 1, 2, 3]
    assert scorer.overlaps == 0
    assert scorer.model == "counting"


@pytest.mark.slow
def test_a_scorer_that_no_stage_has_any_more_is_given_up() -> None:
    shared(ClipPolicy(model="a"), load)
    gc.collect()
    loads: list[str | None] = []

    def noting(policy: ClipPolicy) -> Scorer:
        loads.append(policy.model)
        return load(policy)

    shared(ClipPolicy(model="a"), noting)
    assert loads == ["a"]


def test_a_failure_to_load_is_told_to_each_stage() -> None:
    def failing(policy: ClipPolicy) -> Scorer:
        raise Fatal("no such model")

    for _ in range(2):
        with pytest.raises(Fatal, match="no such model"):
            shared(ClipPolicy(model="a"), failing)
