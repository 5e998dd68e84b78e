"""Rendered scenes: a tiny visual world whose truth is known, for the demo and its models.

A scene is one to three objects (shape, colour, texture, size) on one background. The vocabulary is
8 shapes x 10 colours x 6 textures x 2 sizes and 12 contexts. Everything here is pure data and the
standard library; `render` imports `workers.demo.painting`, which makes the pixels.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from PIL.Image import Image

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
Attribute = Literal["shape", "color", "texture", "size", "context"]
Aspect = Literal["full", "appearance", "texture", "context"]

SHAPES: tuple[Shape, ...] = get_args(Shape)
COLORS: tuple[Color, ...] = get_args(Color)
TEXTURES: tuple[Texture, ...] = get_args(Texture)
SIZES: tuple[Size, ...] = get_args(Size)
CONTEXTS: tuple[Context, ...] = get_args(Context)
ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)
MAX_OBJECTS = 3

# Radii as fractions of the frame's longest side, by number of objects: the fewer, the bigger, so
# that a texture can still be seen when a model looks at 64 pixels. Small is always 0.65 of large.
_LARGE_RADIUS = {1: 0.33, 2: 0.215, 3: 0.185}
_SMALL_OF_LARGE = 0.65
# Objects closer than this along x would have no clear left-to-right order in a caption.
_MIN_STEP_X = 0.09


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One object; `x`, `y` (centre) and `radius` are fractions of the frame's longest side."""

    shape: Shape
    color: Color
    texture: Texture
    size: Size
    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True)
class Scene:
    """One to three objects in left-to-right order on a context; `ratio` is width / height."""

    objects: tuple[SceneObject, ...]
    context: Context
    ratio: float = 1.0


def random_scene(rng: random.Random, ratio: float = 1.0) -> Scene:
    """Draw a scene; `ratio` (width / height, within 1:2 and 2:1) shapes its frame.

    No two objects of a scene share both shape and colour, so a caption names each one apart.
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
    """(x, y, radius) per object, apart from each other and inside the frame."""
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
        large *= 0.96  # this draw of sizes has no room: shrink all alike, so sizes stay readable


def _apart(a: tuple[float, float, float], b: tuple[float, float, float]) -> bool:
    dx, dy = a[0] - b[0], a[1] - b[1]
    gap = 1.08 * (a[2] + b[2])
    return abs(dx) >= _MIN_STEP_X and dx * dx + dy * dy >= gap * gap


def render(scene: Scene, size: int, rng: random.Random) -> Image:
    """Paint a scene as an RGB image whose longest side is `size` pixels (32..2048).

    Painted at the asked size and antialiased, so it is crisp at any. `rng` places the background's
    details and tilts the objects slightly: the same seed gives the same image.
    """
    from kaption.workers.demo.painting import paint

    return paint(scene, size, rng)


def describe(scene: Scene, aspect: Aspect = "full") -> str:
    """A true caption: everything (`full`), or one aspect of the scene.

    `full` "a large striped red circle and a small plain blue star on a road", `appearance` "a large
    red circle and a small blue star", `texture` "a striped circle and a plain star", `context`
    "on a road".
    """
    if aspect == "context":
        return scene.context
    named = join(describe_object(obj, aspect) for obj in scene.objects)
    return f"{named} {scene.context}" if aspect == "full" else named


def describe_object(obj: SceneObject, aspect: Aspect = "full") -> str:
    """One object's noun phrase with its article, for the aspects that concern objects."""
    if aspect == "full":
        words = f"{obj.size} {obj.texture} {obj.color} {obj.shape}"
    elif aspect == "appearance":
        words = f"{obj.size} {obj.color} {obj.shape}"
    elif aspect == "texture":
        words = f"{obj.texture} {obj.shape}"
    else:
        raise ValueError(f"the aspect {aspect} does not describe an object")
    return f"a {words}"


def join(phrases: Iterable[str]) -> str:
    """Phrases as a list in prose: "a", "a and b", "a, b and c"."""
    *rest, last = phrases
    return f"{', '.join(rest)} and {last}" if rest else last


def alter(scene: Scene, rng: random.Random, attribute: Attribute | None = None) -> Scene:
    """The same scene with exactly one attribute of one object (or the context) changed.

    Its caption is a hard negative for the original image. The changed object differs from all
    others of the scene. `attribute` None picks one at random.
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


def wrong(scene: Scene, rng: random.Random) -> Scene:
    """An unrelated scene: another context, and no object with a shape or colour of this one's.

    `describe(wrong(scene, rng))` is a plainly false alt text for the image of `scene`.
    """
    shapes = {o.shape for o in scene.objects}
    colors = {o.color for o in scene.objects}
    while True:
        other = random_scene(rng, scene.ratio)
        if other.context != scene.context and not any(
            o.shape in shapes or o.color in colors for o in other.objects
        ):
            return other
