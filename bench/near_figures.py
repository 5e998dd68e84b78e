"""More families of different images that look alike, as `bench.near_images` has them.

These are figures that follow a rule: codes, puzzles, dials, tables. All have the same lines in the
same places, and a few small marks say what the image is.
"""

from __future__ import annotations

import calendar
import math
import random
from collections.abc import Iterator

from PIL import Image, ImageDraw

from bench.near_images import _FONTS, _colour, _font, _words

_PIPS = {
    1: ((1, 1),),
    2: ((0, 0), (2, 2)),
    3: ((0, 0), (1, 1), (2, 2)),
    4: ((0, 0), (0, 2), (2, 0), (2, 2)),
    5: ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2)),
    6: ((0, 0), (0, 1), (0, 2), (2, 0), (2, 1), (2, 2)),
}


def barcodes(count: int, seed: int) -> Iterator[Image.Image]:
    """Thirteen digits and their bars, of one to four modules."""
    rng = random.Random(seed)
    for _ in range(count):
        image = Image.new("RGB", (520, 280), "white")
        draw = ImageDraw.Draw(image)
        x = 70.0
        while x < 430:
            wide = 4 * rng.choice((1, 1, 2, 3))
            draw.rectangle((x, 12, x + wide - 1, 190), "black")
            x += wide + 4 * rng.choice((1, 1, 2, 3))
        number = str(rng.randrange(10**12, 10**13))
        draw.text((260, 225), number, "black", _font(_FONTS[2], 40), "mm")
        yield image


def dice(count: int, seed: int) -> Iterator[Image.Image]:
    """Six dice on a green ground; no two throws are equal."""
    rng = random.Random(seed)
    for throw in rng.sample(range(6**6), count):
        image = Image.new("RGB", (330, 230), "#146e3c")
        draw = ImageDraw.Draw(image)
        for at in range(6):
            left, top = 20 + 100 * (at % 3), 20 + 100 * (at // 3)
            draw.rounded_rectangle((left, top, left + 90, top + 90), 12, "white")
            for across, down in _PIPS[throw // 6**at % 6 + 1]:
                x, y = left + 21 + 24 * across, top + 21 + 24 * down
                draw.ellipse((x - 6, y - 6, x + 6, y + 6), "black")
        yield image


def calendars(count: int, seed: int) -> Iterator[Image.Image]:
    """Months with their days. Of two months with one shape only the title differs."""
    rng = random.Random(seed)
    for month in rng.sample(range(12 * 40), count):
        year, at = 1990 + month // 12, month % 12 + 1
        image = Image.new("RGB", (400, 300), "white")
        draw = ImageDraw.Draw(image)
        title = f"{calendar.month_name[at]} {year}"
        draw.text((200, 25), title, "black", _font(_FONTS[0], 24), "mm")
        for row, week in enumerate(calendar.monthcalendar(year, at)):
            for column, day in enumerate(week):
                place = (40 + 53 * column, 75 + 38 * row)
                draw.text(place, str(day or ""), "black", _font(_FONTS[0], 18), "mm")
        yield image


def clocks(count: int, seed: int) -> Iterator[Image.Image]:
    """A dial at one of 144 times."""
    rng = random.Random(seed)
    for minutes in rng.sample(range(0, 720, 5), min(count, 144)):
        image = Image.new("RGB", (320, 320), "white")
        draw = ImageDraw.Draw(image)
        draw.ellipse((20, 20, 300, 300), outline="black", width=6)
        for hour in range(1, 13):
            place = _on_circle(hour / 12, 115)
            draw.text(place, str(hour), "black", _font(_FONTS[0], 22), "mm")
        draw.line((160, 160, *_on_circle(minutes / 720, 65)), "black", 8)
        draw.line((160, 160, *_on_circle(minutes % 60 / 60, 100)), "black", 5)
        yield image


def road_signs(count: int, seed: int) -> Iterator[Image.Image]:
    """Speed limits before a blue sky."""
    rng = random.Random(seed)
    for limit in rng.sample(range(1, 200), min(count, 199)):
        image = Image.new("RGB", (300, 300), "#78aadc")
        draw = ImageDraw.Draw(image)
        draw.ellipse((30, 30, 270, 270), "white", "#c80000", 30)
        draw.text((150, 150), str(limit), "black", _font(_FONTS[3], 90), "mm")
        yield image


def sudokus(count: int, seed: int) -> Iterator[Image.Image]:
    """A grid with a digit in a third of its cells."""
    rng = random.Random(seed)
    for _ in range(count):
        image = Image.new("RGB", (370, 370), "white")
        draw = ImageDraw.Draw(image)
        for line in range(10):
            at, width = 5 + 40 * line, 1 if line % 3 else 3
            draw.line((at, 5, at, 365), "black", width)
            draw.line((5, at, 365, at), "black", width)
        for cell in rng.sample(range(81), 28):
            place = (25 + 40 * (cell % 9), 25 + 40 * (cell // 9))
            draw.text(place, str(rng.randint(1, 9)), "black", _font(_FONTS[0], 24), "mm")
        yield image


def crosswords(count: int, seed: int) -> Iterator[Image.Image]:
    """A grid of 13 x 13 cells with some black ones, the same when it is turned round."""
    rng = random.Random(seed)
    for _ in range(count):
        image = Image.new("RGB", (391, 391), "white")
        draw = ImageDraw.Draw(image)
        black = {cell for cell in range(169) if rng.random() < 0.15}
        for cell in range(169):
            x, y = 30 * (cell % 13), 30 * (cell // 13)
            dark = cell in black or 168 - cell in black
            draw.rectangle((x, y, x + 30, y + 30), "black" if dark else "white", "black")
        yield image


def listings(count: int, seed: int) -> Iterator[Image.Image]:
    """Lines of a program on a dark ground."""
    rng = random.Random(seed)
    for _ in range(count):
        image = Image.new("RGB", (640, 420), "#1e1e1e")
        draw = ImageDraw.Draw(image)
        depth = 0
        for line in range(24):
            depth = max(0, min(4, depth + rng.choice((-1, 0, 0, 1))))
            if rng.random() < 0.15:
                continue
            text = _words(rng, rng.randint(1, 6))
            place = (10 + 32 * depth, 8 + 17 * line)
            draw.text(place, text[:60], "#d2d2d2", _font(_FONTS[2], 13))
        yield image


def starry_skies(count: int, seed: int) -> Iterator[Image.Image]:
    """Two hundred stars on a dark ground."""
    rng = random.Random(seed)
    for _ in range(count):
        image = Image.new("RGB", (400, 300), "#040410")
        draw = ImageDraw.Draw(image)
        for _ in range(200):
            x, y, reach = (
                rng.uniform(0, 400),
                rng.uniform(0, 300),
                rng.choice((0.5, 0.7, 1, 1.5, 2)),
            )
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), (rng.randint(150, 255),) * 3)
        yield image


def identicons(count: int, seed: int) -> Iterator[Image.Image]:
    """Squares of one colour in a grid of 5 x 5, the same on the left and on the right."""
    rng = random.Random(seed)
    for _ in range(count):
        image = Image.new("RGB", (420, 420), "#f0f0f0")
        draw = ImageDraw.Draw(image)
        colour = _colour(rng)
        for cell in range(15):
            if rng.random() < 0.5:
                for column in (cell // 5, 4 - cell // 5):
                    x, y = 35 + 70 * column, 35 + 70 * (cell % 5)
                    draw.rectangle((x, y, x + 70, y + 70), colour)
        yield image


def scatter_plots(count: int, seed: int) -> Iterator[Image.Image]:
    """Dots between the same axes."""
    rng = random.Random(seed)
    for _ in range(count):
        image = Image.new("RGB", (400, 320), "white")
        draw = ImageDraw.Draw(image)
        draw.rectangle((50, 40, 360, 280), outline="black")
        for tick in range(6):
            x, y = 50 + 62 * tick, 280 - 48 * tick
            draw.line((x, 280, x, 284), "black")
            draw.line((46, y, 50, y), "black")
            draw.text((x, 295), str(2 * tick), "black", _font(_FONTS[0], 11), "mm")
            draw.text((35, y), str(2 * tick), "black", _font(_FONTS[0], 11), "mm")
        title = f"Sample {rng.randrange(1000)}"
        draw.text((205, 22), title, "black", _font(_FONTS[0], 14), "mm")
        for _ in range(rng.randint(20, 80)):
            left, top = rng.uniform(54, 352), rng.uniform(44, 272)
            draw.ellipse((left, top, left + 4, top + 4), "#1f77b4")
        yield image


def swatches(count: int, seed: int) -> Iterator[Image.Image]:
    """A colour with its number below it."""
    rng = random.Random(seed)
    for _ in range(count):
        colour = _colour(rng)
        image = Image.new("RGB", (300, 300), colour)
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 220, 300, 300), "white")
        name = "#" + "".join(f"{part:02X}" for part in colour)
        draw.text((10, 260), name, "black", _font(_FONTS[0], 30), "lm")
        yield image


def _on_circle(part: float, radius: float) -> tuple[float, float]:
    """A place on the dial, a part of the way round from the top."""
    angle = math.tau * part
    return 160 + radius * math.sin(angle), 160 - radius * math.cos(angle)


FIGURES = {
    "barcodes": barcodes,
    "dice": dice,
    "calendars": calendars,
    "clocks": clocks,
    "road signs": road_signs,
    "sudokus": sudokus,
    "crosswords": crosswords,
    "listings": listings,
    "starry skies": starry_skies,
    "identicons": identicons,
    "scatter plots": scatter_plots,
    "swatches": swatches,
}
