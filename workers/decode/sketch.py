"""Sketches: tiny thumbnails of an image, by which likely near-duplicates are found (`likeness`).

A sketch is made in the decoding child process, with Pillow alone.
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from kaption.workers.decode.hashes import structure

LUMA, CHROMA = 16, 8
"""Sides of the thumbnails, in cells."""
CELLS = LUMA * LUMA + 2 * CHROMA * CHROMA
MIN_STRUCTURE = 1.0
"""Grey levels of `hashes.structure`. An image below it has no sketch, because flat images and most
gradients (0.3 or less) and faint noise (0.5) look alike. Photographs have 13 to 40, fine textures
(brick, grass) 2.9 to 4, and a small thing on a smooth ground 1 to 5. At 1.5 a copy with 85 % of the
brightness often fell below, where its image did not, and the judge errs no more often at 1.0."""
Box = tuple[int, int, int, int]
_BORDER = 0.03
"""A frame of up to this part of the height or width is cut off."""
_EVEN = 24
"""Grey levels within which a line of pixels is of one colour."""


def sketch(image: Image.Image, luma: Image.Image | None = None) -> bytes | None:
    """One byte for each of `CELLS`: luma, blue chroma and red chroma of an RGB image.

    `luma` is the image in mode L. None for an image with less structure than `MIN_STRUCTURE`.
    """
    luma = luma or image.convert("L")
    return cells(image, luma) if structure(luma) >= MIN_STRUCTURE else None


def cells(image: Image.Image, luma: Image.Image) -> bytes:
    """The sketch of an image that is known to have enough structure."""
    channels = thumbnail(image, 4 * LUMA, luma).convert("YCbCr").split()
    return b"".join(
        channel.resize((side, side), Image.Resampling.BOX).tobytes()
        for channel, side in zip(channels, (LUMA, CHROMA, CHROMA), strict=True)
    )


def thumbnail(image: Image.Image, side: int, luma: Image.Image) -> Image.Image:
    """The image, without a thin frame, as a square of `side` pixels."""
    return image.resize((side, side), Image.Resampling.HAMMING, _inside(luma), reducing_gap=2.0)


def _inside(luma: Image.Image) -> tuple[int, int, int, int]:
    """The box without a thin frame. The frame must have all four sides."""
    width, height = luma.size
    left = _frame(luma, width, lambda at: (at, 0, at + 1, height))
    right = left and _frame(luma, width, lambda at: (width - at - 1, 0, width - at, height))
    top = right and _frame(luma, height, lambda at: (0, at, width, at + 1))
    bottom = top and _frame(luma, height, lambda at: (0, height - at - 1, width, height - at))
    if not bottom:
        return 0, 0, width, height
    return left, top, width - right, height - bottom


def _frame(luma: Image.Image, length: int, line: Callable[[int], Box]) -> int:
    """Lines of one colour from the edge on, and the blurred one after them. 0: no thin frame."""
    first = 0
    for at in range(max(2, round(length * _BORDER)) + 1):
        levels = sorted(luma.crop(line(at)).tobytes())
        middle = levels[len(levels) // 2]
        if at == 0:
            first = middle
        if levels[-1] - levels[0] > _EVEN or abs(middle - first) > _EVEN:
            return at + 1 if at else 0
    return 0
