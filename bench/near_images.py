"""Families of different images, and altered copies of images, to measure near-duplicates with.

Every family is drawn from a seed. Odd and even seeds draw from different photographs, so that
weights fitted with one kind can be measured with the other. The images of one family look alike on
purpose: they share grounds, layouts and fonts, as the images of one web site do.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from kaption.workers.decode.hashes import structure

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Ink = str | tuple[int, int, int]
ARC = 7
_PHOTOGRAPHS = (
    *("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg"),
    *("hubble_deep_field.jpg", "retina.jpg", "ihc.png", "camera.png", "coins.png"),
)
_SHOWN = 8
"""Structure (`hashes.structure`) of a part of a photograph that is more than sky or ground."""
_FONTS = (
    *("DejaVuSans.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSans-Bold.ttf"),
    *("DejaVuSerif-Italic.ttf", "DejaVuSansCondensed.ttf"),
)
"""Fonts of most Linux machines. A machine without them draws with Pillow's own font."""
_WORDS = (
    *("time", "life", "work", "dream", "never", "always", "people", "small", "great", "light"),
    *("morning", "world", "heart", "quiet", "river", "courage", "begin", "again", "learn"),
    *("every", "day", "simple", "truth", "open", "door", "mind", "future", "friend", "without"),
    *("because", "where", "love", "change", "hope", "strong", "today", "become", "the", "of"),
    *("and", "to", "in", "is", "that", "it", "for", "you"),
)
_INKS = ((128, 128, 128, 128), (255, 255, 255, 255))
"""Of watermarks: translucent grey and white."""
_GROUNDS = ("#ffffff", "#ffffff", "#f5f5f5", "#fff8e7", "#eef4ff", "#101418", "#f7d9d9")


def photographs(count: int, seed: int) -> Iterator[Image.Image]:
    """Parts of scikit-image's photographs that do not overlap and show something."""
    parts = [
        image.crop((left, top, left + 192, top + 160))
        for name in _PHOTOGRAPHS[seed % 2 :: 2]
        for image in [_photograph(name)]
        for left in range(0, image.width - 191, 192)
        for top in range(0, image.height - 159, 160)
    ]
    parts = [part for part in parts if structure(part.convert("L")) >= _SHOWN]
    yield from random.Random(seed).sample(parts, min(count, len(parts)))


def products(count: int, seed: int) -> Iterator[Image.Image]:
    """A shaded object in the middle of a plain ground."""
    rng = random.Random(seed)
    for _ in range(count):
        image = Image.new("RGB", (400, 400), rng.choice(_GROUNDS[:5]))
        colour = _colour(rng)
        across, down = rng.uniform(60, 160), rng.uniform(60, 160)
        bumps = [(rng.uniform(0, 0.35) / n, rng.uniform(0, math.tau)) for n in range(2, 7)]
        for step in range(24):
            outline = []
            for at in range(72):
                angle = math.tau * at / 72
                radius = 1 + sum(
                    size * math.cos(n * angle + phase) for n, (size, phase) in enumerate(bumps, 2)
                )
                radius *= 1 - step / 40
                outline.append(
                    (
                        200 + across * radius * math.cos(angle) - step,
                        205 + down * radius * math.sin(angle) - step,
                    )
                )
            shade = tuple(min(255, int(part * (0.7 + step / 40))) for part in colour)
            ImageDraw.Draw(image).polygon(outline, fill=shade)
        if rng.random() < 0.5:
            _write(image, (200, 200), _words(rng, 1), rng, 28)
        yield image


def logos(count: int, seed: int) -> Iterator[Image.Image]:
    """A mark of one to four flat shapes, half of them with a word, on a plain ground."""
    rng = random.Random(seed)
    for _ in range(count):
        ground = rng.choice(_GROUNDS)
        image = Image.new("RGB", (rng.choice((300, 400, 512)),) * 2, ground)
        size, middle = image.width, image.width / 2
        draw = ImageDraw.Draw(image)
        for _ in range(rng.randint(1, 4)):
            x, y = (middle + rng.uniform(-0.15, 0.15) * size for _ in "xy")
            reach = rng.uniform(0.1, 0.3) * size
            _shape(draw, rng, x, y, reach, _colour(rng))
        if rng.random() < 0.5:
            _write(image, (middle, 0.85 * size), _words(rng, 1).upper(), rng, size // 10)
        yield image


def shapes(count: int, seed: int) -> Iterator[Image.Image]:
    """One flat shape of its own kind and colour in the middle of a white ground."""
    rng = random.Random(seed)
    colours = [
        *("#d02020", "#2040d0", "#20a040", "#e0b000", "#101010", "#8030a0", "#e07020", "#20a0b0"),
        *("#d060a0", "#805030"),
    ]
    kinds = [
        (sides, colour, reach)
        for sides in (0, 1, 2, 3, 5)
        for colour in colours
        for reach in (60, 90, 120)
    ]
    for sides, colour, reach in rng.sample(kinds, min(count, len(kinds))):
        image = Image.new("RGB", (320, 320), "white")
        _figure(ImageDraw.Draw(image), sides, 160, 160, reach, colour)
        yield image


def letters(count: int, seed: int) -> Iterator[Image.Image]:
    """One large character in one of five inks on white."""
    rng = random.Random(seed)
    characters = "ABCDEFGHJKLMNPQRSTUVXYZ2345678&?$%#"
    inks = ("#111111", "#c02020", "#2040c0", "#208040", "#c08000")
    kinds = [(character, ink) for character in characters for ink in inks]
    for character, ink in rng.sample(kinds, min(count, len(kinds))):
        image = Image.new("RGB", (300, 300), "white")
        font = _font(rng.choice(_FONTS[:2]), 220)
        ImageDraw.Draw(image).text((150, 150), character, ink, font, "mm")
        yield image


def charts(count: int, seed: int) -> Iterator[Image.Image]:
    """Bars, lines and pies of random figures with the axes and colours of one tool."""
    rng = random.Random(seed)
    palette = ("#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948")
    for number in range(count):
        image = Image.new("RGB", (480, 360), "white")
        draw = ImageDraw.Draw(image)
        _write(image, (240, 22), _words(rng, 3), rng, 18, "#222222")
        figures = [rng.uniform(0.1, 1.0) for _ in range(rng.randint(4, 9))]
        if number % 3 == 2:
            start, total = -90.0, sum(figures[:6])
            for figure, colour in zip(figures, palette, strict=False):
                end = start + 360 * figure / total
                draw.pieslice((110, 60, 370, 320), start, end, colour, "white", 2)
                start = end
            yield image
            continue
        draw.line((50, 45, 50, 320, 450, 320), "#444444", 2)
        for tick in range(1, 6):
            draw.line((50, 320 - 50 * tick, 450, 320 - 50 * tick), "#dddddd")
        step = 390 / len(figures)
        if number % 3 == 0:
            for at, figure in enumerate(figures):
                box = (58 + at * step, 320 - 260 * figure, 50 + (at + 0.85) * step, 319)
                draw.rectangle(box, palette[number // 3 % 6])
        else:
            for colour in palette[: rng.randint(1, 3)]:
                line = [(60 + at * step, 320 - 260 * rng.random()) for at in range(len(figures))]
                draw.line(line, colour, 3)
        yield image


def text_cards(count: int, seed: int) -> Iterator[Image.Image]:
    """Quotations in one of eight layouts."""
    rng = random.Random(seed)
    grounds = (("#ffffff", "#111111"), ("#14213d", "#ffffff"), ("#fca311", "#14213d"))
    layouts = [
        (rng.choice(grounds), rng.choice(_FONTS), rng.choice((26, 32, 38)), anchor, rng.random())
        for anchor in ("mm", "lm") * 4
    ]
    for _ in range(count):
        (ground, ink), font, size, anchor, signed = rng.choice(layouts)
        image = Image.new("RGB", (512, 512), ground)
        draw = ImageDraw.Draw(image)
        lines = _wrapped(_words(rng, rng.randint(10, 26)), 400 // (size // 2))
        top = 256 - size * 0.7 * len(lines)
        for at, line in enumerate(lines):
            x = 256 if anchor == "mm" else 50
            draw.text((x, top + 1.4 * size * at), line, ink, _font(font, size), anchor)
        if signed < 0.5:
            draw.text((256, 470), "- " + _words(rng, 2).title(), ink, _font(font, 20), "mm")
        yield image


def memes(count: int, seed: int) -> Iterator[Image.Image]:
    """Photographs with a caption in one of two layouts. One photograph has many captions."""
    rng = random.Random(seed)
    pool = [_photograph(name).resize((480, 400)) for name in _PHOTOGRAPHS[seed % 2 :: 2]]
    for number in range(count):
        photograph = rng.choice(pool)
        lines = _wrapped(_words(rng, rng.randint(5, 11)).upper(), 20)
        if number % 2:
            image = Image.new("RGB", (480, 520), "white")
            image.paste(photograph, (0, 120))
            places = [30 + 36 * at for at in range(3)]
            fill, stroke = "black", 0
        else:
            image = photograph.copy()
            places = [40, 360, 80]
            fill, stroke = "white", 3
        draw = ImageDraw.Draw(image)
        for y, line in zip(places, lines, strict=False):
            font = _font(_FONTS[3], 34)
            draw.text((240, y), line, fill, font, "mm", stroke_width=stroke, stroke_fill="black")
        yield image


FAMILIES: dict[str, Callable[[int, int], Iterator[Image.Image]]] = {
    "photographs": photographs,
    "products": products,
    "logos": logos,
    "shapes": shapes,
    "letters": letters,
    "charts": charts,
    "text cards": text_cards,
    "memes": memes,
}


def folder(path: Path, count: int, seed: int) -> Iterator[Image.Image]:
    """Images below a folder, on white where they are transparent."""
    found = sorted(
        one for one in path.rglob("*") if one.suffix.lower() in {".png", ".jpg", ".jpeg", ".webp"}
    )[seed % 2 :: 2]
    for one in random.Random(seed).sample(found, min(count, len(found))):
        with Image.open(one) as image:
            yield _on_white(image)


def copies(image: Image.Image, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Altered copies of an image: the name of the change, and the file."""
    for quality in (90, 60, 30):
        yield f"JPEG {quality}", encoded(image, "JPEG", quality=quality)
    yield "WebP 70", encoded(image, "WEBP", quality=70)
    for scale in (0.5, 0.75, 1.5):
        size = (round(image.width * scale), round(image.height * scale))
        yield f"resized to {scale:.0%}", encoded(image.resize(size), "JPEG", quality=85)
    for percent in (1, 2, 3):
        part = percent / 100
        left, right = (round(image.width * part * rng.random()) for _ in "lr")
        top, bottom = (round(image.height * part * rng.random()) for _ in "tb")
        box = (left, top, image.width - right, image.height - bottom)
        yield f"up to {percent} % cropped", encoded(image.crop(box), "JPEG", quality=85)
    across, down = round(image.width * 0.02), round(image.height * 0.02)
    box = (across, down, image.width - across, image.height - down)
    yield "2 % cropped all round", encoded(image.crop(box), "JPEG", quality=85)
    for factor in (0.85, 0.9, 1.1, 1.15):
        changed = ImageEnhance.Brightness(image).enhance(factor)
        yield f"brightness {factor:g}", encoded(changed, "JPEG", quality=85)
    for ink in _INKS:
        yield "watermark", encoded(_watermarked(image, ink, rng), "JPEG", quality=85)
    width = max(1, round(min(image.size) * 0.01))
    framed = Image.new("RGB", (image.width + 2 * width, image.height + 2 * width), "black")
    framed.paste(image, (width, width))
    yield "thin border", encoded(framed, "JPEG", quality=85)
    for ink in _INKS:
        marked = _watermarked(image, ink, rng, inside=True)
        yield "watermark inside", encoded(marked, "JPEG", quality=85)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The image as a file."""
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _watermarked(
    image: Image.Image, ink: tuple[int, ...], rng: random.Random, *, inside: bool = False
) -> Image.Image:
    """With a word in a corner, or anywhere, a fifth of the width."""
    layer = Image.new("RGBA", image.size)
    across, down = rng.choice("lr"), rng.choice("as")
    at = (
        image.width * (0.03 if across == "l" else 0.97),
        image.height * (0.03 if down == "a" else 0.97),
    )
    if inside:
        across, down = "m", "m"
        at = (image.width * rng.uniform(0.15, 0.85), image.height * rng.uniform(0.05, 0.95))
    font = _font(_FONTS[0], max(6, image.width // 30))
    ImageDraw.Draw(layer).text(at, "example.org", ink, font, across + down)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


@cache
def _photograph(name: str) -> Image.Image:
    return Image.open(BytesIO((files("skimage") / "data" / name).read_bytes())).convert("RGB")


@cache
def _font(name: str, size: int) -> Font:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return ImageFont.load_default(size)


def _on_white(image: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


def _colour(rng: random.Random) -> tuple[int, int, int]:
    return rng.randrange(20, 230), rng.randrange(20, 230), rng.randrange(20, 230)


def _words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(count))


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _write(
    image: Image.Image,
    at: tuple[float, float],
    text: str,
    rng: random.Random,
    size: int,
    ink: str = "#333333",
) -> None:
    ImageDraw.Draw(image).text(at, text, ink, _font(rng.choice(_FONTS), size), "mm")


def _shape(
    draw: ImageDraw.ImageDraw,
    rng: random.Random,
    x: float,
    y: float,
    reach: float,
    colour: tuple[int, int, int],
) -> None:
    _drawn(draw, rng, rng.randrange(ARC + 1), x, y, reach, colour)


def _drawn(
    draw: ImageDraw.ImageDraw,
    rng: random.Random,
    sides: int,
    x: float,
    y: float,
    reach: float,
    colour: Ink,
) -> None:
    """A figure, or an arc (`ARC`), which is open at an angle of its own."""
    if sides == ARC:
        start = rng.uniform(0, 360)
        box = (x - reach, y - reach, x + reach, y + reach)
        draw.arc(box, start, start + rng.uniform(90, 300), colour, int(reach / 3))
    else:
        _figure(draw, sides, x, y, reach, colour)


def _figure(
    draw: ImageDraw.ImageDraw,
    sides: int,
    x: float,
    y: float,
    reach: float,
    colour: Ink,
) -> None:
    """A disc (0), a square (1), a ring (2) or a polygon."""
    box = (x - reach, y - reach, x + reach, y + reach)
    if sides == 0:
        draw.ellipse(box, colour)
    elif sides == 1:
        draw.rectangle(box, colour)
    elif sides == 2:
        draw.ellipse(box, outline=colour, width=int(reach / 3))
    else:
        draw.regular_polygon((x, y, reach), sides, fill=colour)
