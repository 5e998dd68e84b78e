"""Scenes: a small visual world whose truth is known, for the demo and its models.

A scene has one to three objects (shape, colour, texture, size) in one context, its background.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Shape = Literal["circle", "square", "triangle", "star", "heart", "cross", "ring", "crescent"]
Color = Literal[
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"
]
Texture = Literal["plain", "striped", "dotted", "checkered", "glossy", "faded"]
Size = Literal["small", "large"]
Context = Literal[
    "on a wooden table",
    "on green grass",
    "in the snow",
    "in the night sky",
    "in a cloudy sky",
    "under water",
    "in the desert",
    "on a brick wall",
    "on a road",
    "on a tiled floor",
    "on a beach",
    "in a forest",
]
Aspect = Literal["full", "appearance", "texture", "context"]

SHAPES: tuple[Shape, ...] = get_args(Shape)
COLORS: tuple[Color, ...] = get_args(Color)
TEXTURES: tuple[Texture, ...] = get_args(Texture)
SIZES: tuple[Size, ...] = get_args(Size)
CONTEXTS: tuple[Context, ...] = get_args(Context)
MAX_OBJECTS = 3

# Radius of a large object, as a fraction of the frame's longest side, by the number of objects. Few
# objects are larger, so that a model that sees 64 pixels can tell the textures.
_LARGE_RADIUS = {1: 0.33, 2: 0.215, 3: 0.185}
_SMALL_OF_LARGE = 0.65
# Smallest distance along x: closer objects would have no clear order from left to right.
_MIN_STEP_X = 0.09


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One object. `x`, `y` (centre) and `radius` are fractions of the frame's longest side."""

    shape: Shape
    color: Color
    texture: Texture
    size: Size
    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True)
class Scene:
    """One to three objects, from left to right, in a context. `ratio` is width / height."""

    objects: tuple[SceneObject, ...]
    context: Context
    ratio: float = 1.0


def random_scene(rng: random.Random, ratio: float = 1.0) -> Scene:
    """Draw a scene in a frame of `ratio` (width / height, from 0.5 to 2).

    No two objects share both shape and colour, so a caption can tell them apart.
    """
    if not 0.5 <= ratio <= 2.0:
        raise ValueError(f"ratio {ratio} is outside 0.5..2.0")
    count = rng.randint(1, MAX_OBJECTS)
    kinds: list[tuple[Shape, Color]] = []
    while len(kinds) < count:
        kind = (rng.choice(SHAPES), rng.choice(COLORS))
        if kind not in kinds:
            kinds.append(kind)
    sizes = [rng.choice(SIZES) for _ in kinds]
    places = _places(rng, sizes, ratio)
    objects = (
        SceneObject(shape, color, rng.choice(TEXTURES), size, *place)
        for (shape, color), size, place in zip(kinds, sizes, places, strict=True)
    )
    return Scene(tuple(sorted(objects, key=lambda o: o.x)), rng.choice(CONTEXTS), ratio)


def _places(
    rng: random.Random, sizes: list[Size], ratio: float
) -> list[tuple[float, float, float]]:
    """(x, y, radius) of each object. Objects do not touch each other or the frame."""
    width, height = min(1.0, ratio), min(1.0, 1.0 / ratio)
    large = min(_LARGE_RADIUS[len(sizes)], 0.44 * min(width, height))
    while True:
        radii = [large * (1.0 if size == "large" else _SMALL_OF_LARGE) for size in sizes]
        for _ in range(60):
            spots = [
                (rng.uniform(1.1 * r, width - 1.1 * r), rng.uniform(1.1 * r, height - 1.1 * r), r)
                for r in radii
            ]
            if all(_apart(a, b) for i, a in enumerate(spots) for b in spots[:i]):
                return spots
        large *= 0.96  # not enough room: shrink all objects alike, so that sizes can be compared


def _apart(a: tuple[float, float, float], b: tuple[float, float, float]) -> bool:
    dx, dy = a[0] - b[0], a[1] - b[1]
    gap = 1.08 * (a[2] + b[2])
    return abs(dx) >= _MIN_STEP_X and dx * dx + dy * dy >= gap * gap


def describe(scene: Scene, aspect: Aspect = "full") -> str:
    """A true caption of the whole scene (`full`) or of one aspect.

    `full`: "a large striped red circle and a small plain blue star on a road".
    `appearance`: "a large red circle and a small blue star".
    `texture`: "a striped circle and a plain star".
    `context`: "on a road".
    """
    if aspect == "context":
        return scene.context
    named = join(describe_object(obj, aspect) for obj in scene.objects)
    return f"{named} {scene.context}" if aspect == "full" else named


def describe_object(obj: SceneObject, aspect: Aspect = "full") -> str:
    """One object's noun phrase with its article. Raises ValueError for the aspect `context`."""
    if aspect == "full":
        return f"a {obj.size} {obj.texture} {obj.color} {obj.shape}"
    if aspect == "appearance":
        return f"a {obj.size} {obj.color} {obj.shape}"
    if aspect == "texture":
        return f"a {obj.texture} {obj.shape}"
    raise ValueError(f"the aspect {aspect} does not describe an object")


def join(phrases: Iterable[str]) -> str:
    """The phrases as a list in prose: "a", "a and b", "a, b and c"."""
    *rest, last = phrases
    return f"{', '.join(rest)} and {last}" if rest else last


def wrong(scene: Scene, rng: random.Random) -> Scene:
    """An unrelated scene: another context, other shapes and other colours.

    `describe(wrong(scene, rng))` is a clearly false alt text for the image of `scene`.
    """
    shapes = {o.shape for o in scene.objects}
    colors = {o.color for o in scene.objects}
    while True:
        other = random_scene(rng, scene.ratio)
        if other.context != scene.context and not any(
            o.shape in shapes or o.color in colors for o in other.objects
        ):
            return other
