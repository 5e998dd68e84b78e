"""How well the stream's scorer tells a true text from one that is nearly true."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from kaption.workers.demo.scenes import Scene, describe, random_scene
from kaption.workers.plugins import load_scorer
from kaption.workers.policy.score import ClipPolicy
from tools.demo_models.alter import ATTRIBUTES, alter
from tools.evaluate.figures import Figure, Numbers, auc, resampled, share
from tools.evaluate.filtering import caught

_SEED = 50_011
_AT_ONCE = 64
Change = Callable[[Scene, random.Random], Scene]


def _two(scene: Scene, rng: random.Random) -> Scene:
    one, other = rng.sample(ATTRIBUTES, 2)
    return alter(alter(scene, rng, one), rng, other)


def _one_more(scene: Scene, rng: random.Random) -> Scene:
    """An object that is not there. A text with an object fewer would be true."""
    there = {(obj.shape, obj.color) for obj in scene.objects}
    while True:
        added = rng.choice(random_scene(rng).objects)
        if (added.shape, added.color) not in there:
            return replace(scene, objects=(*scene.objects, added))


def _same_place(scene: Scene, rng: random.Random) -> Scene:
    there = {(obj.shape, obj.color) for obj in scene.objects}
    while True:
        other = random_scene(rng)
        if there.isdisjoint((obj.shape, obj.color) for obj in other.objects):
            return replace(other, context=scene.context)


CHANGES: Mapping[str, Change] = {
    "another shape": lambda scene, rng: alter(scene, rng, "shape"),
    "another colour": lambda scene, rng: alter(scene, rng, "color"),
    "another texture": lambda scene, rng: alter(scene, rng, "texture"),
    "another size": lambda scene, rng: alter(scene, rng, "size"),
    "another place": lambda scene, rng: alter(scene, rng, "context"),
    "an object too many": _one_more,
    "two attributes changed": _two,
    "other objects at the same place": _same_place,
}


def measure(shown: Sequence[tuple[Image.Image, Scene]]) -> list[Figure]:
    """For each change: AUC, share caught at 2 % false rejections, share below its own true text.

    The true text of an image is the description of its scene, the wrong one that of the changed
    scene.
    """
    scorer = load_scorer(ClipPolicy(model="demo", threads=1))
    images = np.concatenate(
        [
            scorer.encode_images(
                [scorer.preprocess(image) for image, _ in shown[at : at + _AT_ONCE]]
            )
            for at in range(0, len(shown), _AT_ONCE)
        ]
    )

    def scores(scenes: Sequence[Scene]) -> Numbers:
        texts = scorer.encode_texts([describe(scene) for scene in scenes])
        return np.asarray((images * texts).sum(1), np.float64)

    true = scores([scene for _, scene in shown])
    rng = random.Random(_SEED)  # noqa: S311 (test data, no secret)
    figures = []
    for name, change in CHANGES.items():
        false = scores([change(scene, rng) for _, scene in shown])
        both = np.stack([true, false], axis=1)
        figures += [
            resampled(f"{name}: AUC", lambda drawn: auc(drawn[:, 0], drawn[:, 1]), both),
            share(f"{name}: caught at 2 % false rejections", caught(true, false)),
            share(f"{name}: below the true text of its image", false < true),
        ]
    return figures
