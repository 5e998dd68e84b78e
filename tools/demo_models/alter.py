"""Scenes with one attribute changed: their captions are hard negatives for the original image."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Literal, get_args

from kaption.workers.demo.scenes import (
    COLORS,
    CONTEXTS,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    SceneObject,
)

Attribute = Literal["shape", "color", "texture", "size", "context"]
ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)


def alter(scene: Scene, rng: random.Random, attribute: Attribute | None = None) -> Scene:
    """The scene with one attribute of one object, or the context, changed.

    Its caption is a hard negative for the original image. The changed object still differs from
    all others of the scene. Without `attribute` a random one is changed.
    """
    attribute = attribute or rng.choice(ATTRIBUTES)
    if attribute == "context":
        return replace(scene, context=rng.choice([c for c in CONTEXTS if c != scene.context]))
    at = rng.randrange(len(scene.objects))
    obj = scene.objects[at]
    taken = {(o.shape, o.color) for o in scene.objects}
    options: list[SceneObject]
    if attribute == "shape":
        options = [replace(obj, shape=s) for s in SHAPES if (s, obj.color) not in taken]
    elif attribute == "color":
        options = [replace(obj, color=c) for c in COLORS if (obj.shape, c) not in taken]
    elif attribute == "texture":
        options = [replace(obj, texture=t) for t in TEXTURES if t != obj.texture]
    else:
        options = [replace(obj, size=s) for s in SIZES if s != obj.size]
    objects = (*scene.objects[:at], rng.choice(options), *scene.objects[at + 1 :])
    return replace(scene, objects=objects)
