"""Judges whether two images are one: altered copies of it, or different images that look alike.

Both are aligned at 128 x 128 pixels. Then the judge weighs what differs in the patches of an 8 x 8
grid. A watermark, noise and blur add structure to one of both images or take it away. Other words,
other faces and other figures show as structure in both that disagrees.
"""

from __future__ import annotations

import math
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kaption.workers.decode.alignment import Luma, RgbArray, aligned, luma, mean, smooth
from kaption.workers.decode.sketch import thumbnail

Floats = NDArray[np.float64]
SIDE = 128
"""Pixels of a side. At 32 other words in a meme are grey like the first ones."""
_GRID = 8
_NOISE = 40.0
"""Squared levels that a patch may differ by chance."""
_LEAST = 0.01
"""Added to a trait before its logarithm is taken."""

WEIGHTS = np.array(
    [
        (-1.29, -4.91),
        (-0.803, -0.98),
        (-0.549, -7.09),
        (0.126, -0.0446),
        (0.0177, -0.0404),
        (-0.584, -4.94),
        (0.155, -0.133),
        (0.0983, 6.09),
        (0.108, 0.096),
        (0.0447, 0.13),
        (-0.276, -3.39),
        (0.771, 0.00359),
        (0.967, -0.525),
        (-0.507, -0.265),
        (-1.11, 0.04),
    ]
)
"""A row for each of `traits`: the weights of its logarithm and of the trait itself."""
BIAS = 4.18


Pixels = NDArray[np.uint8]
"""RGB of shape (SIDE, SIDE, 3)."""


def pixels_of(jpeg: bytes) -> Pixels | None:
    """The stored image as the judge sees it. None if the bytes are not an image."""
    try:
        image = Image.open(BytesIO(jpeg)).convert("RGB")
        small = thumbnail(image, SIDE, image.convert("L"))
    except (OSError, SyntaxError, ValueError):  # Pillow's errors for damaged files
        return None
    return np.asarray(small)


def same(one: Pixels, other: Pixels) -> bool:
    """Whether both show one image. Their order does not count."""
    return float((evidence(one, other) * WEIGHTS).sum()) + BIAS > 0


def evidence(one: Pixels, other: Pixels) -> Floats:
    """What `WEIGHTS` weighs, in the same shape: the logarithm of each trait and the trait."""
    planes = (np.moveaxis(pixels.astype(np.float32), -1, 0) for pixels in (one, other))
    found = traits(*aligned(*planes))
    return np.stack([np.log(found + _LEAST), found], axis=1)


def traits(one: RgbArray, other: RgbArray) -> Floats:
    """How two aligned images differ."""
    lumas = [bright - bright.mean() for bright in (luma(one), luma(other))]
    colours = [_chroma(one, lumas[0]), _chroma(other, lumas[1])]
    tint = colours[0] - colours[1]
    rest, *shown = (
        np.sqrt(_patches(bright**2).mean((1, 3)) + 2 * (colour**2).sum(0))
        for bright, colour in zip((lumas[0] - lumas[1], *lumas), (tint, *colours), strict=True)
    )
    contrast = math.sqrt(float((shown[0] ** 2 + shown[1] ** 2).mean()) / 2)
    shapes = _disagreement(*(_flat(_patches(bright)) for bright in lumas))
    details = _disagreement(*(_patches(bright - smooth(smooth(bright))) for bright in lumas))
    return np.array(
        [
            math.sqrt(float((rest**2).mean())) / (2 + contrast),  # the whole image
            _largest(rest / (8 + shown[0] / 2), 2),  # its worst patches, as a part of them
            *shapes,
            *details,
            math.sqrt(2 * float((tint**2).sum(0).mean())),  # colour, in levels
            float(abs(tint).max()),
            contrast,
        ]
    )


def _disagreement(one: Floats, other: Floats) -> tuple[float, ...]:
    """Measures of the worst patches: structural dissimilarity, and details that contradict.

    A mark on one of two copies leaves the common part as large as the smaller energy. Two texts
    have energy in the same place and little in common. A thing that moved is missing once in each.
    """
    a, b = (one**2).mean((1, 3)), (other**2).mean((1, 3))
    common = (one * other).mean((1, 3))
    clash = (np.minimum(a, b) - common).clip(0)
    extra = (_largest((energy - common).clip(0), 2) for energy in (a, b))
    return (
        _largest(1 - (2 * common + _NOISE) / (a + b + _NOISE), 2),
        math.sqrt(_largest(clash, 2)),  # in levels
        math.sqrt(_largest(clash, 6)),
        _largest(clash / (np.maximum(a, b) + _NOISE), 2),
        math.sqrt(min(extra)),  # what each of both has and the other lacks
    )


def _chroma(colours: RgbArray, bright: Luma) -> Floats:
    """Blue and red chroma of each patch. Their means are 0."""
    red, _, blue = (mean(channel, _GRID) for channel in colours)
    grey = mean(bright, _GRID)
    both = (0.564 * (blue - grey), 0.713 * (red - grey))
    return np.stack([channel - channel.mean() for channel in both])


def _patches(channel: Luma) -> Floats:
    step = len(channel) // _GRID
    return np.asarray(channel.reshape(_GRID, step, _GRID, step))


def _flat(patches: Floats) -> Floats:
    return np.asarray(patches - patches.mean((1, 3), keepdims=True))


def _largest(patches: Floats, count: int) -> float:
    return float(np.sort(patches, axis=None)[-count:].mean())
