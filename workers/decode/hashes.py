"""The 64-bit difference hash (dHash) of an image, and how much structure the image has.

Each bit says whether a cell of a 9 x 8 grey thumbnail is darker than its right neighbour. Source:
Neal Krawetz, "Kind of Like That" (hackerfactor.com, 2013). The demo draws its scenes apart by it.
It does not judge near-duplicates: on plain grounds many different images share a hash.
"""

from __future__ import annotations

import math
from itertools import pairwise
from operator import mul

from PIL import Image

WIDTH, HEIGHT = 9, 8
SMOOTH_DEGREE = 4


def dhash(luma: Image.Image) -> int:
    """The hash of an image of mode L and at least 9 x 8 pixels."""
    value = 0
    for row in _rows(luma):
        for left, right in pairwise(row):
            value = value << 1 | (left < right)
    return value


def _rows(luma: Image.Image) -> list[bytes]:
    cells = luma.resize((WIDTH, HEIGHT), Image.Resampling.BOX).tobytes()
    return [cells[at : at + WIDTH] for at in range(0, WIDTH * HEIGHT, WIDTH)]


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


def structure(luma: Image.Image) -> float:
    """Grey levels (0-255), root mean square, of a thumbnail minus its best-fitting smooth surface.

    The surface is a polynomial of degree 4. The image has mode L and at least 9 x 8 pixels.
    """
    rows = _rows(luma)
    energy = float(sum(cell * cell for row in rows for cell in row))
    for degree, across in enumerate(_ACROSS):
        along = [sum(map(mul, across, row)) for row in rows]
        for down in _DOWN[: SMOOTH_DEGREE + 1 - degree]:
            energy -= sum(map(mul, down, along)) ** 2
    return math.sqrt(max(energy, 0.0) / (WIDTH * HEIGHT))
