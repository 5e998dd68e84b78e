"""The measure of thresholds that set themselves."""

import numpy as np
import pytest

from kaption.workers.policy.score import ThresholdPolicy
from tools.evaluate.thresholds import FLOORS, compare, learnt

RNG = np.random.default_rng(3)
RIGHT = RNG.normal(0.3, 0.05, 600)
WRONG = RNG.normal(0.1, 0.05, (600, 10))


@pytest.mark.parametrize("policy", FLOORS)
@pytest.mark.parametrize("noise", [0.1, 0.3, 0.6])
def test_a_threshold_is_learnt_between_wrong_and_right(
    policy: ThresholdPolicy, noise: float
) -> None:
    found = learnt(RIGHT, WRONG, noise, policy)

    assert (found > RIGHT).mean() <= 0.03
    assert (found > WRONG).mean() >= 0.9


@pytest.mark.slow
def test_each_threshold_is_judged_by_both_kinds_of_texts() -> None:
    figures = {each.name: each.value for each in compare("here", RIGHT, WRONG, 0.2)}

    assert figures["here, by hand: right refused"] == pytest.approx((RIGHT < 0.2).mean())
    assert figures["here, by hand: wrong caught"] == pytest.approx((WRONG < 0.2).mean())
    assert figures["here, self-set at 60% noise: right refused"] <= 0.03
    assert len(figures) == 1 + 2 * (1 + 2 * 3)
