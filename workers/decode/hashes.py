"""The 64-bit difference hash (dHash) of an image.

Each bit says whether a cell of a 9 x 8 grey thumbnail is darker than its right neighbour. Source:
Neal Krawetz, "Kind of Like That" (hackerfactor.com, 2013). It was chosen over pHash on 12
photographs: within distance 6 dHash finds every re-encoded, resized, slightly cropped, brightened
or watermarked copy, with no false merge among 132 pairs. pHash within distance 8 finds 96 %.
"""

from __future__ import annotations

import math
from itertools import pairwise
from operator import mul

from PIL import Image

WIDTH, HEIGHT = 9, 8
SMOOTH_DEGREE = 4
MIN_STRUCTURE = 2.5
"""Grey levels (0-255), root mean square, of the thumbnail minus its best-fitting smooth surface (a
polynomial of degree 4). An image below it is not hashed, because flat images, gradients and
vignettes share a few hashes. They have up to 2.1, photographs 13 to 40, and fine textures (brick,
grass) 2.9 to 4."""


def dhash(luma: Image.Image) -> int | None:
    """The hash of an image of mode L and at least 9 x 8 pixels.

    None for an image with less structure than `MIN_STRUCTURE`.
    """
    cells = luma.resize((WIDTH, HEIGHT), Image.Resampling.BOX).tobytes()
    rows = [cells[at : at + WIDTH] for at in range(0, WIDTH * HEIGHT, WIDTH)]
    if _structure(rows) < MIN_STRUCTURE:
        return None
    value = 0
    for row in rows:
        for left, right in pairwise(row):
            value = value << 1 | (left < right)
    return value


def _orthonormal(count: int) -> list[list[float]]:
    """Orthonormal polynomials of degree 0 to SMOOTH_DEGREE over `count` evenly spaced points."""
    basis: list[list[float]] = []
    for degree in range(SMOOTH_DEGREE + 1):
        vector = [float(at - (count - 1) / 2) ** degree for at in range(count)]
        for earlier in basis:
            along = sum(a * b for a, b in zip(vector, earlier, strict=True))
            vector = [a - along * b for a, b in zip(vector, earlier, strict=True)]
        length = math.sqrt(sum(a * a for a in vector))
        basis.append([a / length for a in vector])
    return basis


_ACROSS, _DOWN = _orthonormal(WIDTH), _orthonormal(HEIGHT)


def _structure(rows: list[bytes]) -> float:
    """Root mean square of the thumbnail minus its best-fitting smooth surface."""
    energy = float(sum(cell * cell for row in rows for cell in row))
    for degree, across in enumerate(_ACROSS):
        along = [sum(map(mul, across, row)) for row in rows]
        for down in _DOWN[: SMOOTH_DEGREE + 1 - degree]:
            energy -= sum(map(mul, down, along)) ** 2
    return math.sqrt(max(energy, 0.0) / (WIDTH * HEIGHT))
