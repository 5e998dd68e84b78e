"""Judges by their sketches whether two images are near-duplicates.

`packed` shortens a sketch for storage, `index_hash` makes the 64-bit hash by which likely copies
are looked up, and `alike` judges them. The look-up is generous and the judge is strict: images that
share a layout (logos, products, charts, cards on a plain ground) have near hashes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaption.workers.decode.sketch import CELLS, CHROMA, LUMA

Floats = NDArray[np.float64]
BITS = 5
_LEVELS = (1 << BITS) - 1
_SIDES = (LUMA, CHROMA, CHROMA)
_ENDS = (LUMA * LUMA, LUMA * LUMA + CHROMA * CHROMA)
PACKED_BYTES = 2 * len(_SIDES) + CELLS * BITS // 8
"""726 bytes: the darkest and lightest level of each channel, and 5 bits for each cell."""

_SHIFTS = (-0.03, -0.015, 0.0, 0.015, 0.03)
"""Parts of the width or height by which an edge of a copy is first tried to be cropped."""
_REACH = 0.04
"""The most that an edge is moved."""
_STEPS = 4
_BRIGHTNESS = (0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.3)
_JUDGED = 12
"""Sketches that are aligned, at most: those that differ least before it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far an image differs from another one that was moved and brightened to fit it."""

    whole: float
    """Root mean square of the differences, as a part of the contrast."""
    patch: float
    """The same in the six most different patches of 64, as a part of what they show."""
    shape: float
    """One minus the structural similarity of all patches, weighted by their contrast."""
    detail: float
    """One minus the structural similarity of fine detail in the six worst patches."""
    colour: float
    """Root mean square of the differences in colour, in levels of 255."""

    def within(self, limit: Difference) -> bool:
        """Whether no part is larger than the limit's."""
        return (
            self.whole <= limit.whole
            and self.patch <= limit.patch
            and self.shape <= limit.shape
            and self.detail <= limit.detail
            and self.colour <= limit.colour
        )


LIMIT = Difference(whole=0.2, patch=0.41, shape=0.027, detail=0.47, colour=20.0)
"""Images that differ less are one image: measured by `python -m bench.near_duplicates`."""


def packed(sketch: bytes) -> bytes:
    """The sketch in `PACKED_BYTES`. Each channel is stretched to its own range of levels."""
    head, bits = bytearray(), []
    for channel in _split(np.frombuffer(sketch, np.uint8)):
        low, high = int(channel.min()), int(channel.max())
        head += bytes((low, high))
        steps = np.rint((channel.astype(float) - low) * _LEVELS / max(1, high - low))
        cells = steps.astype(np.uint8).reshape(-1, 1)
        bits.append(np.unpackbits(cells, axis=1)[:, -BITS:].ravel())
    return bytes(head) + np.packbits(np.concatenate(bits)).tobytes()


def index_hash(small: bytes) -> int:
    """64 bits from a packed sketch. Each is the sign of a sum of its coarse frequencies."""
    luma, *chroma = _unpacked(small)
    step = LUMA // CHROMA
    coarse = luma.reshape(CHROMA, step, CHROMA, step).mean((1, 3))
    cells = np.rint(16 * np.concatenate([channel.ravel() for channel in (coarse, *chroma)]))
    signs = _projections() @ cells.astype(np.int64) > 0
    return int.from_bytes(np.packbits(signs).tobytes(), "big")


def alike(new: bytes, others: Sequence[bytes]) -> list[bool]:
    """For each of the other packed sketches: whether both show one image.

    Only the `_JUDGED` sketches that differ least before alignment may be alike.
    """
    mine, theirs = _unpacked(new), [_unpacked(other) for other in others]
    before = [_plain(mine, other) for other in theirs]
    order = sorted(range(len(others)), key=before.__getitem__)
    like = [new == other for other in others]
    for at in order[:_JUDGED]:
        like[at] = like[at] or any(
            difference(one, other).within(LIMIT)
            for one, other in ((mine, theirs[at]), (theirs[at], mine))
        )
    return like


def _plain(one: list[Floats], other: list[Floats]) -> float:
    luma = one[0] - other[0]
    return float(luma.std())


def difference(copy: list[Floats], image: list[Floats]) -> Difference:
    """The difference of two unpacked sketches, after `image` was fitted to `copy`."""
    target = [channel - channel.mean() for channel in copy]
    fitted = _fitted(image, target)
    left = [a - b for a, b in zip(target, fitted, strict=True)]
    rest, shown, other = _patches(left), _patches(target), _patches(fitted)
    contrast = math.sqrt(float((shown**2 + other**2).mean()) / 2)
    worst = np.sort((rest / (8 + shown / 2)).ravel())[-6:]
    energy, common = _similarity(target[0], fitted[0], blurred=False)
    fine, shared = _similarity(target[0], fitted[0], blurred=True)
    detail = np.sort(((shared + _NOISE) / (fine + _NOISE)).ravel())[:6]
    return Difference(
        whole=math.sqrt(float((rest**2).mean())) / (2 + contrast),
        patch=float(worst.mean()),
        shape=1 - float((common.sum() + 2 * _NOISE) / (energy.sum() + 2 * _NOISE)),
        detail=1 - float(detail.mean()),
        colour=math.sqrt(2 * float((left[1] ** 2 + left[2] ** 2).mean())),
    )


_NOISE = 40.0
"""Squared levels that a patch may differ by chance."""


def _similarity(one: Floats, other: Floats, *, blurred: bool) -> tuple[Floats, Floats]:
    """The energy of each patch of both, and twice what they have in common.

    Of each cell the mean of its patch is taken away, or with `blurred` the mean of its neighbours.
    """
    a, b = (_by_patch(luma - _smooth(_smooth(luma)) if blurred else luma) for luma in (one, other))
    if not blurred:
        a, b = (cells - cells.mean((1, 3), keepdims=True) for cells in (a, b))
    return (a**2 + b**2).mean((1, 3)), 2 * (a * b).mean((1, 3))


def _smooth(luma: Floats) -> Floats:
    wide = np.pad(luma, 1, mode="edge")
    rows = (wide[:-2] + 2 * wide[1:-1] + wide[2:]) / 4
    return np.asarray((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4)


def _by_patch(luma: Floats) -> Floats:
    step = LUMA // CHROMA
    return luma.reshape(CHROMA, step, CHROMA, step)


def _patches(channels: Sequence[Floats]) -> Floats:
    """Root mean square of each patch of 8 x 8. Chroma counts twice, as its levels vary less."""
    luma, blue, red = channels
    return np.asarray(np.sqrt(_by_patch(luma**2).mean((1, 3)) + 2 * blue**2 + 2 * red**2))


def _fitted(image: list[Floats], copy: list[Floats]) -> list[Floats]:
    """The image with its edges moved and its brightness changed so that it fits the copy best.

    The best of a few moves of the edges is refined by Gauss-Newton steps on the luma. The means of
    the copy and of the answer are 0.
    """
    luma, target = image[0], copy[0]
    edges = _coarse(luma - luma.mean(), target)
    best, rest = edges, math.inf
    for step in range(_STEPS + 1):
        moved = _moved(luma, edges)
        moved -= moved.mean()
        gain = float((moved * target).sum() / max(1.0, (moved**2).sum()))
        left = target - gain * moved
        if (left**2).sum() < rest:
            best, rest = edges, float((left**2).sum())
        if step < _STEPS:
            columns = _motions(moved) * gain
            change = np.linalg.solve(
                columns.T @ columns + 100.0 * np.eye(4), columns.T @ left.ravel()
            )
            shift, stretch = change[[0, 2]].clip(-0.02, 0.02), change[[1, 3]].clip(-0.04, 0.04) / 2
            edges = edges + np.stack([shift - stretch, -shift - stretch], axis=1).ravel()
            edges = edges.clip(-_REACH, _REACH)
    return _brightened([_moved(channel, best) for channel in image], target)


def _coarse(luma: Floats, target: Floats) -> Floats:
    """The best of the moves by `_SHIFTS`: left, right, top, bottom, as parts of the side."""
    grid = _grid(LUMA)
    across = down = len(grid) // 2
    for _ in range(2):
        wide = np.einsum("ij,njk->nik", grid[down] @ luma, grid.transpose(0, 2, 1))
        across = int(((wide - target) ** 2).sum((1, 2)).argmin())
        tall = grid @ (luma @ grid[across].T)
        down = int(((tall - target) ** 2).sum((1, 2)).argmin())
    return np.array([*_ends(across), *_ends(down)])


def _brightened(image: list[Floats], target: Floats) -> list[Floats]:
    """Multiplied by the factor that fits best. White stays white, as in an image editor."""
    lumas = [np.minimum(255.0, factor * image[0]) for factor in _BRIGHTNESS]
    lumas = [luma - luma.mean() for luma in lumas]
    at = min(range(len(lumas)), key=lambda at: float(((lumas[at] - target) ** 2).sum()))
    colours = [_BRIGHTNESS[at] * (channel - channel.mean()) for channel in image[1:]]
    return [lumas[at], *colours]


def _moved(channel: Floats, edges: Floats) -> Floats:
    side = len(channel)
    left, right, top, bottom = edges
    return np.asarray(_warp(side, top, bottom) @ channel @ _warp(side, left, right).T)


def _ends(at: int) -> tuple[float, float]:
    return _SHIFTS[at // len(_SHIFTS)], _SHIFTS[at % len(_SHIFTS)]


def _motions(channel: Floats) -> Floats:
    """How each cell changes when the channel is shifted and stretched along each axis."""
    side = len(channel)
    down, across = np.gradient(channel)
    places = (np.arange(side) + 0.5) / side - 0.5
    parts = (across, across * places, down, down * places[:, None])
    return np.stack([part.ravel() * side for part in parts], axis=1)


@cache
def _grid(side: int) -> Floats:
    """Matrices that resample a line of cells between two moved ends (Catmull-Rom splines)."""
    return np.stack([_warp(side, low, high) for low in _SHIFTS for high in _SHIFTS])


def _warp(side: int, low: float, high: float) -> Floats:
    places = (low + (np.arange(side) + 0.5) / side * (1 - low - high)) * side - 0.5
    whole = np.floor(places).astype(int)
    part = places - whole
    matrix = np.zeros((side, side))
    for at, weight in enumerate(
        (
            -0.5 * part + part**2 - 0.5 * part**3,
            1 - 2.5 * part**2 + 1.5 * part**3,
            0.5 * part + 2 * part**2 - 1.5 * part**3,
            -0.5 * part**2 + 0.5 * part**3,
        )
    ):
        np.add.at(matrix, (np.arange(side), (whole - 1 + at).clip(0, side - 1)), weight)
    return matrix


@cache
def _projections() -> NDArray[np.int64]:
    """64 sums of the coarse cells, in whole numbers, so that every machine gets the same signs.

    Each adds all frequencies but the mean with a random sign. Low frequencies count more: a crop
    changes them least.
    """
    at = np.arange(CHROMA)
    waves = np.cos(math.pi * (2 * at[None] + 1) * at[:, None] / (2 * CHROMA))
    waves /= np.sqrt((waves**2).sum(1, keepdims=True))
    order = at[:, None] + at[None]
    size = np.where(order > 0, 1 / np.sqrt(1 + order), 0.0)
    seed = hashlib.shake_256(b"kaption near-duplicates").digest(64 * 3 * CHROMA * CHROMA // 8)
    signs = np.unpackbits(np.frombuffer(seed, np.uint8)).reshape(64, 3, CHROMA, CHROMA) * 2.0 - 1
    signs *= size * np.array([1, 1.4, 1.4])[None, :, None, None]
    sums: NDArray[Any] = np.rint(1000 * (waves.T @ signs @ waves))
    return sums.reshape(64, -1).astype(np.int64)


def _split(cells: NDArray[Any]) -> list[NDArray[Any]]:
    parts = np.split(cells, _ENDS)
    return [part.reshape(side, side) for part, side in zip(parts, _SIDES, strict=True)]


def _unpacked(small: bytes) -> list[Floats]:
    """The three channels of a packed sketch, in levels from 0 to 255."""
    head = len(_SIDES) * 2
    bits = np.unpackbits(np.frombuffer(small, np.uint8, offset=head)).reshape(-1, BITS)
    steps = bits @ (1 << np.arange(BITS)[::-1])
    return [
        low + channel * ((high - low) / _LEVELS)
        for channel, low, high in zip(_split(steps), small[0:head:2], small[1:head:2], strict=True)
    ]
