"""Writes image files for a crawl: good ones in many encodings, copies and broken ones."""

from __future__ import annotations

import random
from io import BytesIO

from PIL import Image

_TURNS = {
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}
"""How the stored pixels are turned, by the EXIF orientation that tells viewers to turn back."""
_ORIENTATION_TAG = 0x0112


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """The image as a file."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def cmyk(image: Image.Image) -> bytes:
    """A CMYK JPEG, as printers deliver it."""
    return encoded(image.convert("CMYK"), quality=92)


def rotated(image: Image.Image, rng: random.Random) -> bytes:
    """A JPEG as phones write it: turned pixels, with the EXIF orientation that turns them back."""
    orientation = rng.choice(tuple(_TURNS))
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = orientation
    return encoded(image.transpose(_TURNS[orientation]), quality=92, exif=exif)


def unusual(image: Image.Image, rng: random.Random) -> tuple[bytes, str]:
    """(file, media type) with a palette, with an alpha channel, as WebP or as GIF."""
    kind = rng.choice(("palette", "alpha", "WEBP", "GIF"))
    if kind == "palette":
        image, kind = image.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"
    elif kind == "alpha":
        image, kind = image.copy(), "PNG"
        image.putalpha(255)
    return encoded(image, kind), f"image/{kind.lower()}"


def copied(image: Image.Image, rng: random.Random) -> bytes:
    """A copy as on another site: re-encoded, and maybe resized or cropped by up to 2 %."""
    way = rng.choice(("re-encoded", "resized", "cropped"))
    if way == "resized":
        scale = rng.uniform(0.6, 0.9)
        image = image.resize((round(image.width * scale), round(image.height * scale)))
    elif way == "cropped":
        cut = [round(rng.uniform(0.003, 0.01) * max(image.size)) for _ in range(4)]
        width, height = image.size
        image = image.crop((cut[0], cut[1], width - cut[2], height - cut[3]))
    return encoded(image, quality=rng.randint(55, 80))


def truncated(image: Image.Image, rng: random.Random) -> bytes:
    """A JPEG whose transfer broke off."""
    data = encoded(image, quality=92)
    return data[: round(len(data) * rng.uniform(0.3, 0.7))]


def tiny(image: Image.Image, rng: random.Random) -> bytes:
    """A PNG of the size of an icon."""
    side = rng.choice((1, 16, 32, 48))
    return encoded(image.resize((side, side)), "PNG")


def extreme(image: Image.Image) -> bytes:
    """A JPEG with the ratio of a banner."""
    return encoded(image.resize((728, 90)), quality=92)


def single_colour(rng: random.Random) -> bytes:
    """A PNG of one colour, like a placeholder."""
    colour = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
    return encoded(Image.new("RGB", (300, 200), colour), "PNG")
