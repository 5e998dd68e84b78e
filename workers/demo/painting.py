"""Paints the pixels of a scene: textured objects on a background."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from kaption.workers.demo.backgrounds import paint_background

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kaption.workers.demo.scenes import Color, Scene, SceneObject, Shape, Texture

RGB = tuple[int, int, int]
_RGB: dict[Color, RGB] = {
    "red": (222, 24, 34),
    "orange": (255, 134, 14),
    "yellow": (252, 228, 36),
    "green": (22, 152, 56),
    "blue": (28, 72, 222),
    "purple": (128, 36, 168),
    "pink": (255, 132, 192),
    "brown": (124, 70, 26),
    "black": (20, 20, 22),
    "white": (252, 252, 252),
}
_DARK: frozenset[Color] = frozenset({"black", "brown", "blue", "purple", "green"})
_TILT = 0.14  # radians: enough to vary, too little to turn a square into a diamond
_OUTLINE = 0.1  # width as a fraction of the radius


def render(scene: Scene, size: int, rng: random.Random) -> Image.Image:
    """Paint a scene as an RGB image whose longest side is `size` pixels (32 to 2048).

    The image is antialiased and crisp at every size. `rng` places the details of the background and
    tilts the objects slightly. The same seed gives the same image.
    """
    if not 32 <= size <= 2048:
        raise ValueError(f"size {size} is outside 32..2048")
    width = max(1, round(size * min(1.0, scene.ratio)))
    height = max(1, round(size * min(1.0, 1.0 / scene.ratio)))
    # Paint larger and reduce, because Pillow's shapes have hard edges.
    factor = 4 if size <= 256 else 2
    canvas = Image.new("RGB", (width * factor, height * factor))
    paint_background(canvas, scene.context, rng)
    for obj in scene.objects:
        _paint_object(canvas, obj, size * factor, rng)
    return canvas.reduce(factor)


def _paint_object(canvas: Image.Image, obj: SceneObject, side: int, rng: random.Random) -> None:
    radius = obj.radius * side
    reach = math.ceil(radius * 1.1)
    box = 2 * reach
    left, top = round(obj.x * side) - reach, round(obj.y * side) - reach
    tilt = rng.uniform(-_TILT, _TILT)
    outer = _mask(obj.shape, box, radius, tilt)
    inner = _mask(obj.shape, box, radius * (1 - _OUTLINE), tilt, thinner=_OUTLINE)
    outline = (235, 235, 235) if obj.color in _DARK else (45, 45, 45)
    canvas.paste(outline, (left, top), outer)
    canvas.paste(_fill(obj.color, obj.texture, box, radius), (left, top), inner)


def _mask(shape: Shape, box: int, radius: float, tilt: float, thinner: float = 0.0) -> Image.Image:
    """A mask of the shape, mode L and size (box, box). `thinner` leaves room for inner outlines."""
    mask = Image.new("L", (box, box), 0)
    draw = ImageDraw.Draw(mask)
    middle = box / 2

    def disc(x: float, y: float, r: float, value: int) -> None:
        draw.ellipse((x - r, y - r, x + r, y + r), fill=value)

    if shape in ("circle", "ring", "crescent"):
        disc(middle, middle, radius, 255)
        if shape == "ring":
            disc(middle, middle, radius * (0.42 + 1.3 * thinner), 0)
        elif shape == "crescent":
            shift = radius * (0.55 - thinner)
            disc(middle + shift, middle - 0.35 * shift, radius * (0.82 + thinner), 0)
        return mask
    draw.polygon(
        [
            (
                middle + radius * (x * math.cos(tilt) - y * math.sin(tilt)),
                middle + radius * (x * math.sin(tilt) + y * math.cos(tilt)),
            )
            for x, y in _corners(shape)
        ],
        fill=255,
    )
    return mask


def _corners(shape: Shape) -> list[tuple[float, float]]:
    """The corners, within a circle of radius 1 around (0, 0). y points down."""
    if shape == "square":
        return [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]
    if shape == "triangle":
        return [(0.0, -1.0), (0.95, 0.75), (-0.95, 0.75)]
    if shape == "cross":
        a, b = 0.34, 0.97
        arm = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a)]
        return arm + [(-x, -y) for x, y in arm]
    if shape == "star":
        turns = [(math.pi * k / 5 - math.pi / 2, 1.0 if k % 2 == 0 else 0.45) for k in range(10)]
        return [(r * math.cos(t), r * math.sin(t)) for t, r in turns]
    if shape == "heart":
        steps = [2 * math.pi * k / 48 for k in range(48)]
        return [
            (
                math.sin(t) ** 3,
                -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t))
                / 16.5,
            )
            for t in steps
        ]
    raise ValueError(f"{shape} is not a polygon")


def _fill(color: Color, texture: Texture, box: int, radius: float) -> Image.Image:
    """An image (box, box) of the texture. Its period is a fraction of the object's radius."""
    base = np.array(_RGB[color], dtype=np.float32)
    if texture == "plain":
        return Image.new("RGB", (box, box), _RGB[color])
    if color == "black":
        other = np.array((135, 135, 135), dtype=np.float32)
    elif color == "white":
        other = np.array((140, 140, 150), dtype=np.float32)
    else:
        other = base * 0.35  # a darker tone, because a lighter one would turn red into pink
    axis = (np.arange(box, dtype=np.float32) + 0.5 - box / 2) / radius
    amount = _amount(texture, axis[None, :], axis[:, None])[:, :, None]
    if texture == "faded":
        other = np.array((250, 250, 250) if color != "white" else (120, 120, 128), np.float32)
    elif texture == "glossy":
        shine = np.array((255, 255, 255) if color != "white" else (150, 190, 235), np.float32)
        other = np.where(amount < 0, other, shine)
        amount = np.abs(amount)
    pixels = base * (1 - amount) + other * amount
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _amount(
    texture: Texture, x: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Share of the second tone, 0 to 1, by pixel. Negative: of the darker tone (glossy)."""
    if texture == "striped":
        return (((x + y) / 0.62) % 1.0 < 0.5).astype(np.float32)
    if texture == "checkered":
        return (((x // 0.4) + (y // 0.4)) % 2 < 1).astype(np.float32)
    if texture == "dotted":
        dx, dy = (x + 0.275) % 0.55 - 0.275, (y + 0.275) % 0.55 - 0.275
        return (dx * dx + dy * dy < 0.17**2).astype(np.float32)
    if texture == "faded":
        return np.clip(0.45 + 0.6 * y + 0.0 * x, 0, 0.95).astype(np.float32)
    if texture == "glossy":
        light = np.exp(-((x + 0.3) ** 2 + (y + 0.35) ** 2) / 0.09)
        shade = np.clip((x + y - 0.35) * 0.9, 0, 0.75)
        return np.where(light > 0.05, light, -shade).astype(np.float32)
    raise ValueError(f"{texture} has no second tone")
