"""The small training: right pairs teach it, wrong pairs teach it something else."""

import pytest
from PIL import Image

pytest.importorskip("torch")

from tools.evaluate.downstream import Pairs, Recipe, trained_hits

pytestmark = pytest.mark.slow
COLOURS = ("red", "green", "blue", "yellow", "black", "white")
RIGHT: Pairs = [(Image.new("RGB", (32, 24), name), f"a {name} square") for name in COLOURS]
RECIPE = Recipe(steps=60, batch=len(COLOURS), warm_up=5)


def test_it_finds_what_right_pairs_showed() -> None:
    assert sum(trained_hits(RIGHT, RIGHT, RECIPE, seed=1)) >= 5


def test_pairs_with_the_texts_of_others_teach_the_wrong_images() -> None:
    images, texts = zip(*RIGHT, strict=True)
    wrong = list(zip(images, (*texts[1:], texts[0]), strict=True))
    assert sum(trained_hits(wrong, RIGHT, RECIPE, seed=1)) <= 1
