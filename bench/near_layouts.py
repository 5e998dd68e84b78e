"""More families of different images that look alike, as `bench.near_images` has them.

These are made from one template each: things of one shop, sheets of one office, screens of one
program. The template fills most of the image, and a word, a print or a colour is what differs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from PIL import Image, ImageDraw

from bench.near_images import (
    _FONTS,
    _PHOTOGRAPHS,
    _colour,
    _figure,
    _font,
    _photograph,
    _shape,
    _words,
)

_SHIRT = (
    *((110, 60), (160, 40), (240, 40), (290, 60), (370, 120), (340, 170), (300, 145)),
    *((300, 370), (100, 370), (100, 145), (60, 170), (30, 120)),
)


def bottles(count: int, seed: int) -> Iterator[Image.Image]:
    """One bottle with another label."""
    rng = random.Random(seed)
    for _ in range(count):
        image = Image.new("RGB", (300, 480), "white")
        draw = ImageDraw.Draw(image)
        glass = rng.choice(("#1e3c23", "#1e3c23", "#4a2a12"))
        draw.rectangle((130, 20, 170, 140), glass)
        draw.rounded_rectangle((95, 130, 205, 460), 25, glass)
        draw.rectangle((95, 250, 205, 390), "#f5f0e1")
        name = _words(rng, 1).title()
        draw.text((150, 285), name, "black", _font(_FONTS[1], 20), "mm")
        draw.text((150, 320), _words(rng, 2), "black", _font(_FONTS[0], 13), "mm")
        draw.text((150, 370), str(rng.randint(1990, 2024)), "black", _font(_FONTS[0], 16), "mm")
        yield image


def shirts(count: int, seed: int) -> Iterator[Image.Image]:
    """One shirt in three colours with another print."""
    rng = random.Random(seed)
    cloths = (("#141414", "white"), ("#f5f5f5", "black"), ("#1e3c78", "white"))
    for _ in range(count):
        image = Image.new("RGB", (400, 400), "white")
        draw = ImageDraw.Draw(image)
        cloth, ink = rng.choice(cloths)
        draw.polygon(_SHIRT, cloth, "#c8c8c8")
        draw.arc((165, 20, 235, 70), 0, 180, "#c8c8c8", 3)
        if rng.random() < 0.6:
            _shape(draw, rng, 200, 190, rng.uniform(30, 55), _colour(rng))
        text = _words(rng, rng.randint(1, 3))
        draw.text((200, 290), text, ink, _font(_FONTS[3], 22), "mm")
        yield image


def colour_variants(count: int, seed: int) -> Iterator[Image.Image]:
    """Twelve things, each in ten colours that nobody takes for one another."""
    rng = random.Random(seed)
    colours = [
        *("#d02020", "#2040d0", "#20a040", "#e0b000", "#101010", "#8030a0", "#e07020", "#20a0b0"),
        *("#d060a0", "#805030"),
    ]
    things = [
        [(rng.uniform(80, 320), rng.uniform(80, 320)) for _ in range(rng.randint(5, 9))]
        for _ in range(12)
    ]
    kinds = [(thing, colour) for thing in things for colour in colours]
    for thing, colour in rng.sample(kinds, min(count, len(kinds))):
        image = Image.new("RGB", (400, 400), "white")
        ImageDraw.Draw(image).polygon(thing, colour)
        yield image


def tables(count: int, seed: int) -> Iterator[Image.Image]:
    """Ten rows of other figures below the same heads."""
    rng = random.Random(seed)
    for _ in range(count):
        image = Image.new("RGB", (440, 330), "white")
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 0, 440, 34), "#3c5a96")
        for column in range(4):
            x = 14 + 110 * column
            draw.text((x, 17), f"Column {column + 1}", "white", _font(_FONTS[0], 16), "lm")
        for row in range(9):
            top = 34 + 33 * row
            draw.rectangle((0, top, 440, top + 33), "#eef2fa" if row % 2 else "white")
            for column in range(4):
                figure = f"{rng.uniform(0, 1000):.1f}"
                place = (14 + 110 * column, top + 16)
                draw.text(place, figure, "black", _font(_FONTS[0], 18), "lm")
        yield image


def chats(count: int, seed: int) -> Iterator[Image.Image]:
    """A conversation on a telephone."""
    rng = random.Random(seed)
    for _ in range(count):
        image = Image.new("RGB", (360, 640), "#e5ddd5")
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 0, 360, 50), "#075e54")
        name = _words(rng, 1).title()
        draw.text((60, 25), name, "white", _font(_FONTS[0], 18), "lm")
        for top in range(65, 580, 42):
            text, own, font = _words(rng, rng.randint(1, 6)), rng.random() < 0.5, _FONTS[0]
            wide = draw.textlength(text, _font(font, 14)) + 20
            left = 350 - wide if own else 10
            ground = "#dcf8c6" if own else "white"
            draw.rounded_rectangle((left, top, left + wide, top + 32), 8, ground)
            draw.text((left + 10, top + 16), text, "black", _font(font, 14), "lm")
        yield image


def price_tags(count: int, seed: int) -> Iterator[Image.Image]:
    """Photographs of five things for sale, each with another price on it."""
    rng = random.Random(seed)
    things = [_photograph(name).resize((400, 300)) for name in _PHOTOGRAPHS[seed % 2 :: 2]]
    for _ in range(count):
        image = rng.choice(things).copy()
        draw = ImageDraw.Draw(image)
        _figure(draw, 0, 330, 70, 62, "#dc1414")
        price = f"{rng.randint(1, 99)}.{rng.choice((0, 25, 49, 95)):02}"
        draw.text((330, 70), price, "white", _font(_FONTS[3], 36), "mm")
        yield image


def banners(count: int, seed: int) -> Iterator[Image.Image]:
    """Advertisements of one campaign."""
    rng = random.Random(seed)
    for _ in range(count):
        image = Image.new("RGB", (600, 250), "#fac83c")
        draw = ImageDraw.Draw(image)
        draw.text((40, 80), _words(rng, 3).upper(), "black", _font(_FONTS[3], 30))
        draw.text((40, 130), _words(rng, 4), "black", _font(_FONTS[0], 20))
        draw.rounded_rectangle((40, 180, 190, 225), 20, "black")
        draw.text((115, 202), "SHOP NOW", "white", _font(_FONTS[0], 16), "mm")
        _shape(draw, rng, 510, 120, 60, _colour(rng))
        yield image


def hands(count: int, seed: int) -> Iterator[Image.Image]:
    """Three playing cards on a green ground; no two hands are equal."""
    rng = random.Random(seed)
    ranks = ["A", "2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K"]
    drawn: set[tuple[int, ...]] = set()
    while len(drawn) < count:
        hand = tuple(rng.sample(range(52), 3))
        if hand in drawn:
            continue
        drawn.add(hand)
        image = Image.new("RGB", (460, 240), "#005a28")
        draw = ImageDraw.Draw(image)
        for at, card in enumerate(hand):
            x, suit = 20 + 145 * at, card // 13
            ink = "#c80000" if suit in (1, 2) else "black"
            draw.rounded_rectangle((x, 20, x + 130, 220), 10, "white")
            for place in ((x + 24, 44), (x + 106, 196)):
                draw.text(place, ranks[card % 13], ink, _font(_FONTS[3], 26), "mm")
            draw.text((x + 65, 120), "♠♥♦♣"[suit], ink, _font(_FONTS[0], 70), "mm")
        yield image


def floor_plans(count: int, seed: int) -> Iterator[Image.Image]:
    """Four rooms with some furniture inside the same walls."""
    rng = random.Random(seed)
    for _ in range(count):
        image = Image.new("RGB", (440, 360), "white")
        draw = ImageDraw.Draw(image)
        draw.rectangle((20, 20, 420, 340), outline="black", width=6)
        wall = rng.randint(120, 320)
        draw.line((wall, 20, wall, 340), "black", 4)
        for ends in ((20, wall), (wall, 420)):
            y = rng.randint(100, 260)
            draw.line((ends[0], y, ends[1], y), "black", 4)
        for _ in range(4):
            x, y = rng.randint(40, 360), rng.randint(40, 280)
            box = (x, y, x + rng.randint(20, 50), y + rng.randint(20, 50))
            draw.rectangle(box, outline="#5a5a5a", width=2)
        yield image


LAYOUTS = {
    "bottles": bottles,
    "shirts": shirts,
    "colour variants": colour_variants,
    "tables": tables,
    "chats": chats,
    "price tags": price_tags,
    "banners": banners,
    "hands of cards": hands,
    "floor plans": floor_plans,
}
