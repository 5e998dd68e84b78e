"""Shares, means and intervals of small samples whose values are known."""

import numpy as np
import pytest

from tools.evaluate.figures import auc, mean, ratio, resampled, share


def test_a_share_has_wilsons_interval() -> None:
    figure = share("hits", [True] * 8 + [False] * 2)

    assert figure.value == 0.8
    # (p + z²/2n ± z sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n) with z = 1.96
    assert figure.low == pytest.approx(0.490, abs=1e-3)
    assert figure.high == pytest.approx(0.943, abs=1e-3)
    assert figure.sample == 10


def test_an_empty_sample_says_that_it_needs_more_pairs() -> None:
    with pytest.raises(ValueError, match="'hits' on: take more pairs"):
        share("hits", [])
    with pytest.raises(ValueError, match="take more pairs"):
        mean("words", [])


def test_a_mean_lies_in_its_interval() -> None:
    figure = mean("words", [1.0, 2.0, 3.0, 4.0] * 25)

    assert figure.value == 2.5
    assert figure.low is not None
    assert figure.high is not None
    assert 2.2 < figure.low < 2.5 < figure.high < 2.8


def test_a_ratio_is_of_the_sums_and_not_the_mean_of_ratios() -> None:
    assert ratio("precision", [1.0, 0.0], [1.0, 9.0]).value == pytest.approx(0.1)


def test_one_of_a_kind_has_no_spread() -> None:
    figure = mean("words", [7.0])
    assert (figure.value, figure.low, figure.high) == (7.0, 7.0, 7.0)


@pytest.mark.parametrize(
    ("true", "false", "expected"),
    [
        ([3.0, 4.0], [1.0, 2.0], 1.0),
        ([1.0, 2.0], [3.0, 4.0], 0.0),
        ([2.0], [2.0], 0.5),
        ([1.0, 3.0], [2.0], 0.5),
        ([1.0, 2.0, 3.0], [0.0, 2.0], (1 + 1.5 + 2) / 6),
    ],
)
def test_auc_counts_pairs_in_order(true: list[float], false: list[float], expected: float) -> None:
    assert auc(np.array(true), np.array(false)) == pytest.approx(expected)


def test_two_samples_are_drawn_apart() -> None:
    figure = resampled("auc", auc, np.array([3.0, 4.0, 5.0]), np.array([1.0]))
    # a sample of one is not resampled: there is no interval to give
    assert (figure.value, figure.low, figure.high) == (1.0, 1.0, 1.0)
    assert figure.sample == 4
