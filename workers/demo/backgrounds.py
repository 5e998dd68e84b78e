"""Paints the background of a scene, one of twelve contexts, in paler colours than the objects."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from PIL import ImageDraw

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from kaption.workers.demo.scenes import Context


def paint_background(canvas: Image.Image, context: Context, rng: random.Random) -> None:
    """Fill the whole canvas with a context. `rng` places its details."""
    width, height = canvas.size
    _PAINTERS[context](ImageDraw.Draw(canvas), width, height, max(width, height), rng)


def _shade(rgb: tuple[int, int, int], rng: random.Random, by: int = 8) -> tuple[int, int, int]:
    """The colour up to `by` levels lighter or darker, as light varies between photographs."""
    step = rng.randint(-by, by)
    r, g, b = (max(0, min(255, channel + step)) for channel in rgb)
    return r, g, b


def _flat(
    draw: ImageDraw.ImageDraw, w: int, h: int, rgb: tuple[int, int, int], top: float = 0.0
) -> None:
    draw.rectangle((0, top * h, w, h), fill=rgb)


def _wood(draw: ImageDraw.ImageDraw, w: int, h: int, s: int, rng: random.Random) -> None:
    plank = s / 6
    for row in range(math.ceil(h / plank)):
        top = row * plank
        draw.rectangle((0, top, w, top + plank), fill=_shade((206, 166, 118), rng, 12))
        draw.line((0, top, w, top), fill=(150, 108, 66), width=max(1, s // 90))
        for _ in range(3):
            y = top + rng.uniform(0.2, 0.9) * plank
            x = rng.uniform(0, 0.7) * w
            draw.line((x, y, x + 0.25 * s, y), fill=(178, 136, 90), width=max(1, s // 140))


def _grass(draw: ImageDraw.ImageDraw, w: int, h: int, s: int, rng: random.Random) -> None:
    _flat(draw, w, h, _shade((150, 204, 112), rng))
    for _ in range(160):
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        tip = (x + rng.uniform(-0.02, 0.02) * s, y - rng.uniform(0.03, 0.07) * s)
        draw.line((x, y, *tip), fill=_shade((104, 170, 74), rng, 14), width=max(1, s // 90))


def _snow(draw: ImageDraw.ImageDraw, w: int, h: int, s: int, rng: random.Random) -> None:
    _flat(draw, w, h, _shade((186, 204, 222), rng))
    draw.ellipse((-0.3 * w, 0.7 * h, 1.3 * w, 1.6 * h), fill=(236, 242, 248))
    for _ in range(70):
        x, y, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.007, 0.014) * s
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(250, 252, 255))


def _night(draw: ImageDraw.ImageDraw, w: int, h: int, s: int, rng: random.Random) -> None:
    _flat(draw, w, h, _shade((42, 46, 84), rng))
    for _ in range(60):
        x, y, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.003, 0.009) * s
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(238, 236, 200))


def _sky(draw: ImageDraw.ImageDraw, w: int, h: int, s: int, rng: random.Random) -> None:
    _flat(draw, w, h, _shade((150, 202, 240), rng))
    for _ in range(6):
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        for _ in range(4):
            cx, cy = x + rng.uniform(-0.09, 0.09) * s, y + rng.uniform(-0.025, 0.025) * s
            rx, ry = rng.uniform(0.05, 0.09) * s, rng.uniform(0.03, 0.05) * s
            draw.ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=(236, 243, 250))


def _water(draw: ImageDraw.ImageDraw, w: int, h: int, s: int, rng: random.Random) -> None:
    _flat(draw, w, h, _shade((92, 176, 186), rng))
    for row in range(math.ceil(h / (0.12 * s))):
        y, phase = (row + 0.5) * 0.12 * s, rng.uniform(0, 6.3)
        steps = [k * 0.02 * s for k in range(math.ceil(w / (0.02 * s)) + 1)]
        wave = [(x, y + 0.018 * s * math.sin(phase + 22 * x / s)) for x in steps]
        draw.line(wave, fill=(140, 208, 214), width=max(1, s // 60))
    for _ in range(14):
        x, y, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.01, 0.022) * s
        draw.ellipse((x - r, y - r, x + r, y + r), outline=(216, 242, 244), width=max(1, s // 100))


def _desert(draw: ImageDraw.ImageDraw, w: int, h: int, s: int, rng: random.Random) -> None:
    _flat(draw, w, h, _shade((250, 222, 176), rng))
    for top, rgb in ((0.3, (236, 200, 138)), (0.55, (224, 182, 116)), (0.78, (208, 162, 96))):
        x = rng.uniform(-0.4, 0.4) * w
        draw.ellipse((x - 0.5 * w, top * h, x + 1.5 * w, (top + 1.2) * h), fill=rgb)


def _bricks(draw: ImageDraw.ImageDraw, w: int, h: int, s: int, rng: random.Random) -> None:
    _flat(draw, w, h, (222, 212, 202))
    rise, run, joint = s / 9, s / 4.5, max(1, s // 70)
    for row in range(math.ceil(h / rise)):
        shift = run / 2 if row % 2 else 0.0
        for column in range(-1, math.ceil(w / run) + 1):
            x, y = column * run + shift, row * rise
            brick = _shade((186, 112, 92), rng, 12)
            draw.rectangle((x, y, x + run - joint, y + rise - joint), fill=brick)


def _road(draw: ImageDraw.ImageDraw, w: int, h: int, s: int, rng: random.Random) -> None:
    _flat(draw, w, h, _shade((112, 114, 118), rng))
    at = rng.uniform(0.35, 0.65) * h
    for x in range(0, w, max(1, s // 5)):
        draw.rectangle((x, at, x + s // 9, at + s // 28), fill=(244, 240, 214))
    for edge in (0.03 * h, 0.95 * h):
        draw.rectangle((0, edge, w, edge + s // 45), fill=(226, 226, 220))


def _tiles(draw: ImageDraw.ImageDraw, w: int, h: int, s: int, rng: random.Random) -> None:
    _flat(draw, w, h, _shade((222, 226, 214), rng))
    step, joint = s / 5, max(1, s // 50)
    for k in range(1, 6):
        draw.line((k * step, 0, k * step, h), fill=(150, 160, 156), width=joint)
        draw.line((0, k * step, w, k * step), fill=(150, 160, 156), width=joint)


def _beach(draw: ImageDraw.ImageDraw, w: int, h: int, s: int, rng: random.Random) -> None:
    _flat(draw, w, h, _shade((112, 190, 226), rng))
    shore = rng.uniform(0.4, 0.55)
    _flat(draw, w, h, (244, 250, 250), shore - 0.03)
    _flat(draw, w, h, _shade((242, 222, 172), rng), shore)
    for _ in range(50):
        x, y, r = rng.uniform(0, w), rng.uniform(shore + 0.03, 1) * h, 0.005 * s
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(206, 182, 130))


def _forest(draw: ImageDraw.ImageDraw, w: int, h: int, s: int, rng: random.Random) -> None:
    _flat(draw, w, h, _shade((172, 196, 168), rng))
    for _ in range(11):
        x, foot = rng.uniform(0, w), rng.uniform(0.45, 1.0) * h
        half, tall = rng.uniform(0.07, 0.11) * s, rng.uniform(0.3, 0.5) * s
        draw.rectangle((x - 0.01 * s, foot, x + 0.01 * s, foot + 0.07 * s), fill=(118, 92, 70))
        leaf = _shade((66, 108, 78), rng, 14)
        draw.polygon([(x - half, foot), (x + half, foot), (x, foot - tall)], fill=leaf)


_PAINTERS: dict[Context, Callable[[ImageDraw.ImageDraw, int, int, int, random.Random], None]] = {
    "on a wooden table": _wood,
    "on green grass": _grass,
    "in the snow": _snow,
    "in the night sky": _night,
    "in a cloudy sky": _sky,
    "under water": _water,
    "in the desert": _desert,
    "on a brick wall": _bricks,
    "on a road": _road,
    "on a tiled floor": _tiles,
    "on a beach": _beach,
    "in a forest": _forest,
}
