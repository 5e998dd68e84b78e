"""The formulas that the measure `selection` compares."""

import numpy as np
import pytest

pytest.importorskip("torch")

from tools.evaluate.mentions import Facts
from tools.evaluate.selection import FORMULAS, Candidates

OWN = Candidates(
    at=0,
    texts=["on a beach", "a small red star on a beach"],
    cosines=np.array([0.7, 0.6]),
    vectors=np.zeros((2, 2), np.float32),
    facts=[Facts(), Facts()],
)
OTHERS = np.array([[0.8, 0.7, 0.6] + [0.0] * 200, [0.4, 0.3, 0.2] + [-0.3] * 200])
"""The phrase fits some other images as well as its own; the description fits none so well."""


@pytest.mark.parametrize("name", sorted(FORMULAS.keys() - {"cosine", "most true facts"}))
def test_each_formula_but_the_cosine_prefers_what_fits_one_image(name: str) -> None:
    assert FORMULAS[name](OWN, OTHERS).argmax() == 1


def test_the_cosine_prefers_the_phrase() -> None:
    assert FORMULAS["cosine"](OWN, OTHERS).argmax() == 0


def test_the_mean_is_over_the_images_that_fit_best() -> None:
    name = "cosine less the mean of 1"
    assert FORMULAS[name](OWN, OTHERS) == pytest.approx([-0.1, 0.2])
