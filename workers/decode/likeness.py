"""Finds by their sketches which images may be near-duplicates.

`index_hash` makes the 64-bit hash by which likely copies are looked up, `packed` shortens a sketch
for storage, and `distances` tells how far sketches are apart. All are generous: images that share a
layout (logos, products, charts, memes) are near. `comparison.same` then judges the images
themselves.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from kaption.workers.decode.alignment import mean
from kaption.workers.decode.sketch import CHROMA, LUMA

Floats = NDArray[np.float64]
BITS = 3
_LEVELS = (1 << BITS) - 1
_COARSE = 4
"""Side of the stored chroma thumbnails, in cells."""
_SIDES = (LUMA, _COARSE, _COARSE)
_ENDS = (LUMA * LUMA, LUMA * LUMA + _COARSE * _COARSE)
_HEAD = 2 * len(_SIDES)
_WAVES = (30, 5, 5)
"""Frequencies of each channel that the hash knows: more part more images, and lose more copies."""
PACKED_BYTES = _HEAD + (LUMA * LUMA + 2 * _COARSE * _COARSE) * BITS // 8
"""114 bytes: the darkest and lightest level of each channel, and 3 bits for each cell."""

FAR = 0.3
"""`distances` from which two images are different. Of 4,300 altered copies in docs/output.md none
is farther than 0.25 from its image."""
CLOSE = 0.01
"""`distances` up to which two images count as one where the images themselves are gone. Half of the
copies are that close, and memes of one photograph seldom."""
_NOISE = 40.0
"""Squared levels. It keeps faint images apart from the noise of their compression."""
_WEIGHTS = np.concatenate(
    [np.full(side * side, part / side**2) for side, part in zip(_SIDES, (1, 2, 2), strict=True)]
)
"""Chroma counts twice, as its levels vary less."""


def packed(sketch: bytes) -> bytes:
    """The sketch in `PACKED_BYTES`. Each channel is stretched to its own range of levels."""
    head, bits = bytearray(), []
    luma, *chroma = _channels(sketch)
    for channel in (luma, *(mean(each, _COARSE) for each in chroma)):
        low, high = math.floor(channel.min()), math.ceil(channel.max())
        head += bytes((low, high))
        steps = np.rint((channel - low) * _LEVELS / max(1, high - low))
        cells = steps.astype(np.uint8).reshape(-1, 1)
        bits.append(np.unpackbits(cells, axis=1)[:, -BITS:].ravel())
    return bytes(head) + np.packbits(np.concatenate(bits)).tobytes()


def index_hash(sketch: bytes) -> int:
    """64 bits from a sketch: the signs of its `margins`."""
    signs = margins([packed(sketch)])[0] > 0
    return int.from_bytes(np.packbits(signs).tobytes(), "big")


def margins(sketches: Sequence[bytes]) -> Floats:
    """How far each bit of `index_hash` is from turning, from packed sketches: (images, 64).

    An altered copy differs in the bits whose margins are small, of either sign.
    """
    cells = np.frombuffer(b"".join(sketches), np.uint8).reshape(-1, PACKED_BYTES)
    bits = np.unpackbits(cells[:, _HEAD:], axis=1).reshape(len(cells), -1, BITS)
    steps = bits[:, :, 0] << 2 | bits[:, :, 1] << 1 | bits[:, :, 2]
    ranges = cells[:, 1:_HEAD:2].astype(float) - cells[:, 0:_HEAD:2]
    levels = steps * np.repeat(ranges, [side * side for side in _SIDES], axis=1)
    return np.asarray(levels @ _projections().T)


def distances(new: bytes, others: Sequence[bytes]) -> Floats:
    """How far each other packed sketch is from the new one: 0 for equal ones, 1 for unlike ones.

    It is the energy of their difference as a part of both energies. Their means do not count.
    """
    mine, theirs = _levels(new), np.stack([_levels(other) for other in others])
    energy = (theirs**2) @ _WEIGHTS + (mine**2) @ _WEIGHTS
    return np.asarray(((theirs - mine) ** 2) @ _WEIGHTS / (energy + _NOISE))


def _levels(small: bytes) -> Floats:
    """The cells of a packed sketch in levels. The mean of each channel is 0."""
    bits = np.unpackbits(np.frombuffer(small, np.uint8, offset=_HEAD)).reshape(-1, BITS)
    steps = np.split(bits @ (1 << np.arange(BITS)[::-1]), _ENDS)
    return np.concatenate(
        [
            (channel - channel.mean()) * ((high - low) / _LEVELS)
            for channel, low, high in zip(steps, small[0:_HEAD:2], small[1:_HEAD:2], strict=True)
        ]
    )


def _channels(sketch: bytes) -> list[Floats]:
    cells = np.frombuffer(sketch, np.uint8).astype(float)
    ends = (LUMA * LUMA, LUMA * LUMA + CHROMA * CHROMA)
    sides = (LUMA, CHROMA, CHROMA)
    parts = zip(np.split(cells, ends), sides, strict=True)
    return [part.reshape(side, side) for part, side in parts]


@cache
def _projections() -> Floats:
    """64 sums of the cells of a packed sketch, in whole numbers: every machine has the same signs,
    because a float holds the sums exactly.

    They turn the lowest frequencies, without the means, into 64 others that are orthogonal. A
    frequency has about the same energy in each sum: photographs have less of the high ones, so
    these are raised. Without that the signs followed two or three low frequencies, and of two
    photographs one in 350 was within 7 bits of the other.
    """
    parts = []
    for side, kept, weight in zip(_SIDES, _WAVES, (1.0, 1.5, 1.5), strict=True):
        at = np.arange(side)
        waves = np.cos(math.pi * (2 * at[None] + 1) * at[:, None] / (2 * side))
        waves /= np.sqrt((waves**2).sum(1, keepdims=True))
        heights = np.hypot(at[:, None], at[None]).ravel()
        order = np.argsort(heights, kind="stable")[1 : kept + 1]
        both = np.einsum("ax,by->abxy", waves, waves).reshape(side * side, -1)[order] / side
        parts.append(weight * both * heights[order, None] ** 1.1)
    seed = hashlib.shake_256(b"kaption near-duplicates").digest(2 * 64 * 64)
    turned = np.linalg.qr(np.frombuffer(seed, ">i2").reshape(64, 64).astype(float))[0]
    columns = np.split(turned[:, : sum(_WAVES)], np.cumsum(_WAVES)[:-1], axis=1)
    sums = [part @ waves for part, waves in zip(columns, parts, strict=True)]
    return np.asarray(np.rint(10_000 * np.concatenate(sums, axis=1)))
