"""Moves one of two images so that it fits the other one, and brightens the darker one.

A copy may be cropped by some percent on each side, and brighter or darker. An image here is an RGB
array of shape (3, side, side) with levels from 0 to 255.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

RgbArray = NDArray[np.float32]
Luma = NDArray[np.float32]
Edges = NDArray[np.float64]
"""Parts of the side by which an edge is cropped: left, right, top, bottom."""

COARSE = 32
"""Side of the images that are first aligned, in pixels."""
_SHIFTS = (-0.03, -0.015, 0.0, 0.015, 0.03)
"""Crops of an edge that are tried first."""
_REACH = 0.045
"""The most that an edge is moved."""
_STEPS = 4
"""Gauss-Newton steps at each side: `COARSE`, twice that, and the full one. Without the second, thin
lines and dots of cropped copies stayed a pixel apart."""
_BRIGHTNESS = (1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3)
_RGB_TO_LUMA = np.array((0.299, 0.587, 0.114), np.float32)
"""BT.601, as JPEG has it."""


def aligned(one: RgbArray, other: RgbArray) -> tuple[RgbArray, RgbArray]:
    """Both images, in any order, with what was done to one of them done to the other.

    The whole image is fitted to a cropped copy, because the copy lacks its edges. The darker image
    is brightened, because brighter copies end at white. What is white then may look like a crop, so
    the images are also tried as they are.
    """
    lumas = [_centred(luma(pixels)) for pixels in (one, other)]
    coarse = [_centred(smooth(mean(each, COARSE))) for each in lumas]
    tries = [_coarse(coarse[1 - at], coarse[at]) for at in (0, 1)]
    at = min((0, 1), key=lambda at: tries[at][1])
    target, image = (one, other)[at], (one, other)[1 - at]
    edges = tries[at][0]
    for side in (2 * COARSE, len(lumas[0])):
        edges = _refined(mean(lumas[1 - at], side), mean(lumas[at], side), edges)[0]
    moved = np.stack([_moved(channel, edges) for channel in image])
    return min(_brightened(target, moved), _brightened(target, image), key=_difference)


def luma(pixels: RgbArray) -> Luma:
    """The brightness of each pixel."""
    return np.asarray(np.tensordot(_RGB_TO_LUMA, pixels, 1))


def mean(channel: NDArray[Any], side: int) -> NDArray[Any]:
    """The means of `side` x `side` patches."""
    step = len(channel) // side
    return np.asarray(channel.reshape(side, step, side, step).mean((1, 3)))


def _centred(channel: Luma) -> Luma:
    return np.asarray(channel - channel.mean())


def _coarse(image: Luma, target: Luma) -> tuple[Edges, float]:
    """The best edges at the coarse side, and what is left then, as a part of the target."""
    grid = _grid()
    across = down = len(grid) // 2
    for _ in range(2):
        wide = (grid[down] @ image) @ grid.transpose(0, 2, 1)
        across = int(((wide - target) ** 2).sum((1, 2)).argmin())
        tall = grid @ (image @ grid[across].T)
        down = int(((tall - target) ** 2).sum((1, 2)).argmin())
    edges, left = _refined(image, target, np.array([*_ends(across), *_ends(down)]))
    return edges, left / max(1.0, float((target**2).sum()))


def _refined(image: Luma, target: Luma, edges: Edges) -> tuple[Edges, float]:
    """The edges after some Gauss-Newton steps, and the squares that are left."""
    best, least = edges, math.inf
    for step in range(_STEPS + 1):
        moved = _centred(_moved(image, edges))
        gain = float((moved * target).sum() / max(1.0, float((moved**2).sum())))
        left = target - gain * moved
        if (rest := float((left**2).sum())) < least:
            best, least = edges, rest
        if step < _STEPS:
            columns = _motions(moved) * gain
            stiff = 100.0 * (len(image) / COARSE) ** 2 * np.eye(4)
            change = np.linalg.solve(columns @ columns.T + stiff, columns @ left.ravel())
            shift, stretch = change[[0, 2]].clip(-0.02, 0.02), change[[1, 3]].clip(-0.04, 0.04) / 2
            edges = edges + np.stack([shift - stretch, -shift - stretch], axis=1).ravel()
            edges = edges.clip(-_REACH, _REACH)
    return best, least


def _brightened(one: RgbArray, other: RgbArray) -> tuple[RgbArray, RgbArray]:
    """One of both multiplied by the factor that fits best. Each colour ends at white."""
    half = [
        np.stack([mean(channel, len(channel) // 2) for channel in each]) for each in (one, other)
    ]
    tries = [pair for factor in _BRIGHTNESS for pair in ((factor, 1.0), (1.0, factor))]
    best = min(tries, key=lambda factors: _difference(_scaled(half, factors)))
    return _scaled((one, other), best)


def _scaled(arrays: Sequence[RgbArray], factors: tuple[float, float]) -> tuple[RgbArray, RgbArray]:
    one, other = (
        pixels if factor == 1 else np.minimum(255, np.float32(factor) * pixels)
        for pixels, factor in zip(arrays, factors, strict=True)
    )
    return one, other


def _difference(pair: tuple[RgbArray, RgbArray]) -> float:
    return float((pair[0] - pair[1]).var((1, 2)).sum())


def _moved(channel: Luma, edges: Edges) -> Luma:
    side = len(channel)
    left, right, top, bottom = edges
    return np.asarray(_warp(side, top, bottom) @ channel @ _warp(side, left, right).T)


def _motions(channel: Luma) -> NDArray[np.float32]:
    """How each pixel changes when the channel is shifted and stretched along each axis."""
    side = len(channel)
    down, across = np.gradient(channel)
    places = ((np.arange(side) + 0.5) / side - 0.5).astype(np.float32)
    parts = (across, across * places, down, down * places[:, None])
    return np.stack([part.ravel() * side for part in parts])


@cache
def _grid() -> NDArray[np.float32]:
    """Matrices that resample a line of coarse pixels between two moved ends."""
    return np.stack([_warp(COARSE, *_ends(at)) for at in range(len(_SHIFTS) ** 2)])


def _ends(at: int) -> tuple[float, float]:
    return _SHIFTS[at // len(_SHIFTS)], _SHIFTS[at % len(_SHIFTS)]


def _warp(side: int, low: float, high: float) -> NDArray[np.float32]:
    """Catmull-Rom splines."""
    places = (low + (np.arange(side) + 0.5) / side * (1 - low - high)) * side - 0.5
    far = abs(places.clip(0, side - 1)[:, None] - np.arange(side)[None]).astype(np.float32)
    inner, outer = (1.5 * far - 2.5) * far * far + 1, ((2.5 - 0.5 * far) * far - 4) * far + 2
    weights = np.where(far < 1, inner, np.where(far < 2, outer, 0))
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def smooth(channel: Luma) -> Luma:
    """Each pixel averaged with its neighbours."""
    wide = np.pad(channel, 1, mode="edge")
    rows = (wide[:-2] + 2 * wide[1:-1] + wide[2:]) / 4
    return np.asarray((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4)
