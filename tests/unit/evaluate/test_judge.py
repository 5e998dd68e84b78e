"""The judge is another model than the selector, and is trained once."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from tools.demo_models import train_captioner, train_clip
from tools.evaluate import judge
from tools.evaluate.held_out import SEED


def test_its_data_are_those_of_no_other_model_and_of_no_crawl() -> None:
    recipes = (train_clip.ClipRecipe(), judge.RECIPE)
    # Each chunk of rendered scenes has the next seed.
    ranges = [range(recipe.seed, recipe.seed + recipe.chunks) for recipe in recipes]
    seeds = {seed for found in ranges for seed in found}
    assert len(seeds) == sum(map(len, ranges))
    assert not seeds & {SEED, train_captioner.SEED}


def test_a_trained_judge_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(judge, "train", lambda out, recipe: out.mkdir(parents=True))

    first = judge.trained()
    (first / "weights").write_text("trained")

    assert first.is_relative_to(tmp_path)
    assert (judge.trained() / "weights").read_text() == "trained"


def test_a_training_that_broke_off_leaves_no_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(out: Path, recipe: object) -> None:
        out.mkdir(parents=True, exist_ok=True)
        raise KeyboardInterrupt

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(judge, "train", broken)
    with pytest.raises(KeyboardInterrupt):
        judge.trained()

    assert not judge.folder().exists()
