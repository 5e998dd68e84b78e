"""Ranks and recalls of small tables of cosines."""

import numpy as np
import pytest

pytest.importorskip("torch")

from tools.evaluate.retrieval import ranks, recalls

IMAGES = np.eye(3, dtype=np.float32)


def test_the_rank_is_the_number_of_images_before_the_own_one() -> None:
    texts = np.array([[1, 0, 0], [0.8, 0.6, 0], [0.9, 0.4, 0.1]], np.float32)
    assert list(ranks(texts, IMAGES)) == [0, 1, 2]


def test_a_text_that_fits_all_images_alike_finds_none() -> None:
    same = np.full((3, 3), 0.5, np.float32)
    assert list(ranks(same, IMAGES)) == [2, 2, 2]


def test_recall_counts_the_first_and_the_first_five() -> None:
    first, five = recalls("texts", np.array([0, 4, 5, 9]))
    assert (first.value, five.value) == (0.25, 0.5)
