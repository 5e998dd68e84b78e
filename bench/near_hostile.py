"""More families of different images that look alike, as `bench.near_images` has them.

Screenshots of one program, pages of one print, maps of one land and pictures of one event share
nearly every pixel. They differ in what a reader looks at.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from PIL import Image, ImageChops, ImageDraw, ImageOps

from bench.near_images import (
    _FONTS,
    _PHOTOGRAPHS,
    ARC,
    _colour,
    _drawn,
    _font,
    _photograph,
    _words,
    _wrapped,
)

_INKS = ("#101010", "#ffffff", "#c03020", "#203060")


def screenshots(count: int, seed: int) -> Iterator[Image.Image]:
    """A list or a form of one program, with other entries in it."""
    rng = random.Random(seed)
    for number in range(count):
        image = Image.new("RGB", (512, 384), "#f4f4f4")
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 0, 512, 34), "#3b4a6b")
        draw.text((12, 17), "File   Edit   View   Help", "white", _font(_FONTS[0], 14), "lm")
        draw.rectangle((0, 35, 110, 384), "#e2e6ee")
        for row in range(9):
            draw.text((12, 56 + 34 * row), f"Folder {row + 1}", "#333", _font(_FONTS[0], 13), "lm")
        chosen = rng.randrange(10)
        for row in range(10):
            top = 44 + 33 * row
            if row == chosen:
                draw.rectangle((112, top, 508, top + 31), "#cfe0ff")
            if number % 2:
                draw.rectangle((120, top + 4, 144, top + 28), _colour(rng))
            else:
                draw.rectangle((280, top + 4, 500, top + 28), "white", "#999999")
            for x, size, count_of in ((152, 14, 2), (290, 13, rng.randint(1, 4))):
                text = _words(rng, count_of)
                draw.text((x, top + 16), text[:26], "#222222", _font(_FONTS[0], size), "lm")
        yield image


def pages(count: int, seed: int) -> Iterator[Image.Image]:
    """Scanned pages of one book: the same type area, other words, now and then a heading.

    Every other one is the upper part of a page, photographed in uneven light.
    """
    rng = random.Random(seed)
    light = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize((366, 180))
    shade = ImageOps.colorize(light, "#777770", "#eeeee8")
    for number in range(count):
        image = Image.new("RGB", (390, 512), "#fbfaf4")
        draw = ImageDraw.Draw(image)
        top = 40
        if rng.random() < 0.3:
            text = _words(rng, 3).title()
            draw.text((195, 56), text, "#111111", _font(_FONTS[1], 22), "mm")
            top = 90
        for line in _wrapped(_words(rng, 400), 52)[: (480 - top) // 15]:
            draw.text((36, top), line, "#222222", _font(_FONTS[4], 12))
            top += 15
        draw.text((195, 498), str(rng.randint(1, 400)), "#222222", _font(_FONTS[4], 12), "mm")
        if number % 2:
            image = ImageChops.multiply(image.crop((24, 32, 390, 212)), shade)
        yield image


def maps(count: int, seed: int) -> Iterator[Image.Image]:
    """One land with the same districts, coloured by other figures in four steps."""
    rng = random.Random(seed)
    lands = [_land(rng) for _ in range(5)]
    steps = ("#eff3ff", "#bdd7e7", "#6baed6", "#2171b5")
    for _ in range(count):
        image = Image.new("RGB", (480, 400), "white")
        draw = ImageDraw.Draw(image)
        for district in rng.choice(lands):
            draw.polygon(district, rng.choice(steps), "#555555")
        title = _words(rng, 3).title()
        draw.text((240, 20), title, "#222222", _font(_FONTS[0], 18), "mm")
        for at, colour in enumerate(steps):
            draw.rectangle((400, 300 + 18 * at, 414, 314 + 18 * at), colour, "#555555")
        yield image


def events(count: int, seed: int) -> Iterator[Image.Image]:
    """Pictures from one place: the same ground, with one to three players somewhere else."""
    rng = random.Random(seed)
    grounds = [_photograph(name).resize((480, 360)) for name in _PHOTOGRAPHS[seed % 2 :: 2]]
    for _ in range(count):
        image = rng.choice(grounds).copy()
        draw = ImageDraw.Draw(image)
        for _ in range(rng.randint(1, 3)):
            x, y, tall = rng.uniform(40, 440), rng.uniform(130, 260), rng.uniform(70, 130)
            shirt, trousers = _colour(rng), _colour(rng)
            head, wide = tall / 7, tall / 6
            draw.rectangle((x - wide, y - tall / 4, x + wide, y + tall / 6), shirt)
            draw.rectangle((x - wide * 0.8, y + tall / 6, x - 2, y + tall * 0.6), trousers)
            draw.rectangle((x + 2, y + tall / 6, x + wide * 0.8, y + tall * 0.6), trousers)
            skin = rng.choice(("#e8b890", "#8d5a3a", "#c68642"))
            draw.ellipse((x - head, y - tall / 4 - 2 * head, x + head, y - tall / 4), skin)
        yield image


def skies(count: int, seed: int) -> Iterator[Image.Image]:
    """A few evening skies and walls with light on them, each with one small thing somewhere.

    Two of them differ by more than a crop does: on one ground, the same figure in the same ink has
    another size by a fifth, or is elsewhere by 6 % of a side.
    """
    rng = random.Random(seed)
    grounds = []
    for _ in range(5):
        light = Image.linear_gradient("L") if rng.random() < 0.5 else Image.radial_gradient("L")
        light = light.rotate(rng.choice((0, 90, 180, 270))).resize((400, 300))
        grounds.append(ImageOps.colorize(light, _colour(rng), _colour(rng)))
    drawn: list[tuple[tuple[int, int, str], float, float, float]] = []
    while len(drawn) < count:
        kind = rng.randrange(5), rng.randrange(ARC + 1), rng.choice(_INKS)
        x, y, size = rng.uniform(60, 340), rng.uniform(50, 250), rng.uniform(12, 40)
        ground, sides, ink = kind
        if sides != ARC and any(
            kind == other
            and abs(x - left) < 24
            and abs(y - top) < 18
            and max(size, reach) < 1.2 * min(size, reach)
            for other, left, top, reach in drawn
        ):
            continue
        drawn.append((kind, x, y, size))
        image = grounds[ground].copy()
        _drawn(ImageDraw.Draw(image), rng, sides, x, y, size, ink)
        yield image


def _land(rng: random.Random) -> list[list[tuple[float, float]]]:
    """Districts: the cells of a bent grid, without some at the corners."""
    across, down = 8, 6
    corners = {
        (x, y): (60 + 45 * x + rng.uniform(-14, 14), 60 + 48 * y + rng.uniform(-14, 14))
        for x in range(across + 1)
        for y in range(down + 1)
    }
    return [
        [corners[at] for at in ((x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1))]
        for x in range(across)
        for y in range(down)
        if rng.random() < 0.85
    ]


HOSTILE = {
    "screenshots": screenshots,
    "pages": pages,
    "maps": maps,
    "events": events,
    "skies": skies,
}
