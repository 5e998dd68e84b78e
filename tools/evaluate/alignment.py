"""Alignment ablation: what each step of preprocessing and windowing gives.

The task: the right text of an image among 20. The other 19 describe other scenes. In the
harder task nine of them describe the scene with one attribute changed. Images have ratios from 1:2
to 2:1, texts 20 to 300 tokens.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kaption.workers.demo.scenes import Scene, random_scene
from kaption.workers.models.scorer import Scorer
from kaption.workers.models.windows import fit, windows_of
from kaption.workers.plugins import load_scorer
from kaption.workers.policy.score import ClipPolicy
from tools.demo_models.alter import alter
from tools.demo_models.photographs import photograph
from tools.evaluate.figures import Figure, share
from tools.evaluate.long_texts import long_text

if TYPE_CHECKING:
    import torch

CHOICES = 20
TASKS = {"other scenes": 0, "nine nearly true": 9}
"""How many of the choices of each task are the scene with one attribute changed."""
_SHORTEST, _LONGEST = 20, 300
_TEMPERATURE = 0.1
"""Of attention over windows: a window that is 0.1 closer to the image weighs e times as much."""
SEED = 30_011
Cosines = NDArray[np.float64]
Pool = Callable[[Cosines, Cosines], float]
"""(cosines of the windows, their weights) to the score of the text."""


@dataclass(frozen=True, slots=True)
class Item:
    """An image and `CHOICES` texts; the first one is right."""

    image: Image.Image
    texts: tuple[str, ...]


def measure(items: int, scorer: Scorer | None = None) -> list[Figure]:
    """The share of right choices after each step, with the stream's scorer as it is set."""
    scorer = scorer or load_scorer(ClipPolicy(model="demo", threads=1))
    figures = []
    for task, altered in TASKS.items():
        tried = make_items(items, scorer.count_tokens, altered)
        for name, choices in _choices(tried, scorer).items():
            figures.append(share(f"{task}: {name}", choices))
    return figures


def _choices(tried: Sequence[Item], scorer: Scorer) -> dict[str, list[bool]]:
    """Whether the choice for each item is right, after each step."""
    squashed = _embed(scorer, [squash(item.image, scorer) for item in tried])
    whole = _embed(scorer, [scorer.preprocess(item.image) for item in tried])
    flat = [text for item in tried for text in item.texts]
    hard = scorer.encode_texts([hard_cut(text, scorer) for text in flat])
    fitted = scorer.encode_texts([fit(t, scorer.count_tokens, scorer.context_length) for t in flat])
    chosen = {
        "squashed, hard cut": _single(squashed, hard),
        "ratio kept, hard cut": _single(whole, hard),
        "ratio kept, cut at a clause": _single(whole, fitted),
    }
    parts = [windows_of(text, scorer.count_tokens, scorer.context_length) for text in flat]
    vectors = scorer.encode_texts([window.text for windows in parts for window in windows])
    ends = np.cumsum([len(windows) for windows in parts])
    scores: dict[str, list[float]] = {name: [] for name in POOLS}
    for at, (windows, end) in enumerate(zip(parts, ends, strict=True)):
        cosines = np.asarray(vectors[end - len(windows) : end] @ whole[at // CHOICES], np.float64)
        weights = np.array([window.weight for window in windows])
        for name, pool in POOLS.items():
            scores[name].append(pool(cosines, weights))
    for name, found in scores.items():
        chosen[f"ratio kept, windows: {name}"] = right(np.array(found))
    return chosen


def _maximum(cosines: Cosines, _weights: Cosines) -> float:
    return float(cosines.max())


def _mean(cosines: Cosines, weights: Cosines) -> float:
    return float((cosines * weights).sum() / weights.sum())


def _attention(cosines: Cosines, _weights: Cosines) -> float:
    share = np.exp((cosines - cosines.max()) / _TEMPERATURE)
    return float((cosines * share).sum() / share.sum())


POOLS: dict[str, Pool] = {"max": _maximum, "mean (as shipped)": _mean, "attention": _attention}


def make_items(
    count: int, count_tokens: Callable[[str], int], altered: int, seed: int = SEED
) -> list[Item]:
    """The same seed gives the same items. `altered`: see `TASKS`."""
    rng = random.Random(seed)  # noqa: S311 (test data, no secret)
    items = []
    for _ in range(count):
        scene = random_scene(rng, 2.0 ** rng.uniform(-1, 1))
        image, _place = photograph(scene, rng)
        tokens, text_seed = rng.randint(_SHORTEST, _LONGEST), rng.getrandbits(32)
        scenes = (scene, *_others(scene, altered, rng))
        texts = [long_text(each, tokens, text_seed, count_tokens) for each in scenes]
        items.append(Item(image, tuple(texts)))
    return items


def _others(scene: Scene, altered: int, rng: random.Random) -> list[Scene]:
    """CHOICES - 1 different scenes with as many objects; the first are this one, `altered`."""
    plain = {_said(scene)}
    found: list[Scene] = []
    while len(found) < CHOICES - 1:
        if len(found) < altered:
            other = alter(scene, rng)
        else:
            other = random_scene(rng)
            if len(other.objects) != len(scene.objects):
                continue
        if _said(other) not in plain:
            plain.add(_said(other))
            found.append(other)
    return found


def _said(scene: Scene) -> tuple[object, ...]:
    return (scene.context, *(replace(obj, x=0, y=0, radius=0) for obj in scene.objects))


def squash(image: Image.Image, scorer: Scorer) -> torch.Tensor:
    """The scorer's pixels of the image as a square, without padding."""
    side = max(image.size)
    return scorer.preprocess(image.resize((side, side), Image.Resampling.BICUBIC))


def hard_cut(text: str, scorer: Scorer) -> str:
    """The longest beginning of the text that fits the scorer, wherever it ends."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if scorer.count_tokens(text[:middle]) <= scorer.context_length:
            low = middle
        else:
            high = middle - 1
    return text[:low]


def right(scores: Cosines) -> list[bool]:
    """Whether the first of each `CHOICES` scores is above all others."""
    rows = scores.reshape(-1, CHOICES)
    return [bool(row[0] > row[1:].max()) for row in rows]


def _single(images: NDArray[np.float32], texts: NDArray[np.float32]) -> list[bool]:
    repeated = np.repeat(images, CHOICES, axis=0)
    return right(np.asarray((repeated * texts).sum(1), np.float64))


def _embed(scorer: Scorer, pixels: Sequence[torch.Tensor]) -> NDArray[np.float32]:
    rows = [scorer.encode_images(pixels[at : at + 64]) for at in range(0, len(pixels), 64)]
    return np.concatenate(rows)
