"""The items of the alignment ablation, its pools and its choice."""

import random

import numpy as np
import pytest

pytest.importorskip("torch")

from kaption.workers.demo.scenes import Scene, SceneObject, random_scene
from tools.evaluate.alignment import CHOICES, POOLS, TASKS, make_items, right
from tools.evaluate.long_texts import long_text


def count_words(text: str) -> int:
    return len(text.split()) + 2


@pytest.mark.parametrize("altered", TASKS.values(), ids=TASKS)
def test_the_same_seed_gives_the_same_items_and_no_choice_twice(altered: int) -> None:
    first, second = (make_items(3, count_words, altered, seed=5) for _ in range(2))
    assert [item.texts for item in first] == [item.texts for item in second]
    for item in first:
        assert len(set(item.texts)) == CHOICES


def test_a_text_has_the_asked_length_and_names_all_facts() -> None:
    rng = random.Random(1)
    for tokens in (20, 77, 300):
        scene = random_scene(rng)
        text = long_text(scene, tokens, 7, count_words)
        assert tokens <= count_words(text) < tokens + 45
        assert scene.context in text
        for thing in scene.objects:
            assert f"{thing.texture} {thing.color} {thing.shape}" in text


def test_two_scenes_texts_differ_in_their_facts_alone() -> None:
    red, blue = (
        Scene((SceneObject("star", color, "plain", "large", 0.5, 0.5, 0.2),), "on a road")
        for color in ("red", "blue")
    )
    texts = [long_text(scene, 60, 3, count_words) for scene in (red, blue)]
    assert texts[0].replace(" red ", " blue ") == texts[1]


def test_pools_of_two_windows() -> None:
    cosines, weights = np.array([0.2, 0.6]), np.array([3.0, 1.0])
    assert POOLS["max"](cosines, weights) == 0.6
    assert POOLS["mean (as shipped)"](cosines, weights) == pytest.approx(0.3)
    share = 1 / (1 + np.exp(-4))  # the windows are 0.4 apart, at a temperature of 0.1
    assert POOLS["attention"](cosines, weights) == pytest.approx(0.6 * share + 0.2 * (1 - share))


def test_only_a_score_above_all_others_is_right() -> None:
    best, tied, beaten = np.zeros(CHOICES), np.zeros(CHOICES), np.zeros(CHOICES)
    best[0] = beaten[7] = 1.0
    assert right(np.concatenate([best, tied, beaten])) == [True, False, False]
