"""Renders what is no personal document and looks like one: cards, forms, posters, screenshots."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from PIL import Image, ImageDraw

from tools.evaluate.papers import SAID, write

Draw = random.Random
_NAMES = ["Anna Muster", "Lukas Roe", "Chloe Dupont", "Hugo Garcia", "Eva Novak", "Marco Rossi"]
_TEAMS = ["Utopia", "Freedonia", "Ruritania", "Sylvania", "Borduria"]


def _sheet(texts: Sequence[Sequence[str]], drawn: Draw) -> Image.Image:
    """One of the texts on a card or a page, some with a portrait."""
    size = drawn.choice([(1000, 630), (1000, 1000), (900, 1250)])
    image = Image.new("RGB", size, tuple(drawn.randint(180, 255) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    if drawn.random() < 0.4:
        draw.rectangle((40, 150, 290, 470), fill=(170, 175, 180))
        draw.ellipse((95, 190, 235, 360), fill=(205, 170, 140))
    values = {
        "name": drawn.choice(_NAMES),
        "team": drawn.choice(_TEAMS),
        "n": drawn.randint(1000, 9999),
        "nn": drawn.randint(10, 25),
    }
    lines = drawn.choice(texts)
    letters = drawn.randint(26, 34)
    left = 320 if drawn.random() < 0.5 else 60
    for at, line in enumerate(lines):
        y = 40 + at * (size[1] - 60) / len(lines)
        write(draw, (left, y), line.format(**values), letters + 12 * (at == 0), bold=at == 0)
    return image


LOOKALIKES: dict[str, Callable[[Draw], Image.Image]] = {
    name: partial(_sheet, texts) for name, texts in SAID["lookalike"].items()
}
