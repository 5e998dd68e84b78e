"""Judges whether two images are one: altered copies of it, or different images that look alike.

Both are aligned at 128 x 128 pixels. Then a small network, the judge, weighs what differs in the
patches of an 8 x 8 grid. A watermark, noise and blur add structure to one of both images or take it
away. Other words, other faces and other figures show as structure in both that disagrees.
"""

from __future__ import annotations

import math
import tomllib
from functools import cache
from importlib.resources import files
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kaption.workers.decode.alignment import COARSE, Luma, RgbArray, aligned, luma, mean, smooth
from kaption.workers.decode.hashes import SMOOTH_DEGREE
from kaption.workers.decode.sketch import thumbnail

Floats = NDArray[np.float64]
SIDE = 128
"""Pixels of a side. At 32 other words in a meme are grey like the first ones."""
_GRID = 8
_NOISE = 40.0
"""Squared levels that a patch may differ by chance."""
_FAINT = 12.0
"""The same of the three colours together."""
_LEAST = 0.01
"""Added to a trait before its logarithm is taken."""

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
    hidden, hidden_bias, out, bias = _judge()
    return float(out @ np.tanh(hidden @ evidence(one, other) + hidden_bias)) + bias > 0


def evidence(one: Pixels, other: Pixels) -> Floats:
    """What the judge weighs: the logarithms of the traits, then the traits."""
    planes = (np.moveaxis(pixels.astype(np.float32), -1, 0) for pixels in (one, other))
    found = traits(*aligned(*planes))
    return np.concatenate([np.log(found + _LEAST), found])


@cache
def _judge() -> tuple[Floats, Floats, Floats, float]:
    """The network of `judge.toml`: its hidden weights and biases, its output's weights and bias."""
    stored = tomllib.loads(
        files("kaption.workers.decode").joinpath("judge.toml").read_text("utf-8")
    )
    hidden, hidden_bias, out = (
        np.array(stored[name], np.float64) for name in ("hidden", "hidden_bias", "out")
    )
    return hidden, hidden_bias, out, float(stored["bias"])


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
    soft = [smooth(bright) for bright in lumas]  # thin lines fall between other pixels in a copy
    shapes = _disagreement(*(_flat(_patches(bright)) for bright in soft))
    details = _disagreement(
        *(_patches(bright - smooth(each)) for bright, each in zip(lumas, soft, strict=True))
    )
    return np.array(
        [
            math.sqrt(float((rest**2).mean())) / (2 + contrast),  # the whole image
            _largest(rest / (8 + shown[0] / 2), 2),  # its worst patches, as a part of them
            *shapes,
            *details,
            math.sqrt(2 * float((tint**2).sum(0).mean())),  # colour, in levels
            float(abs(tint).max()),
            contrast,
            *_without_ground(one, other),
            float(np.median(rest)),  # a usual patch: what compression changed
        ]
    )


def _without_ground(one: RgbArray, other: RgbArray) -> tuple[float, float]:
    """How much of what stands on a smooth ground differs, and how much both have of their own.

    Beside a bright sky a small thing is nothing, and two of them are much like one. A mark on one
    of two copies leaves the second number at 0.
    """
    a, b = _on_ground(one), _on_ground(other)
    mine, theirs, common = (float((x * y).sum() / COARSE**2) for x, y in ((a, a), (b, b), (a, b)))
    least = min(mine, theirs)
    return (
        (mine + theirs - 2 * common) / (mine + theirs + _FAINT),
        max(0.0, least - common) / (least + _FAINT),
    )


def _on_ground(colours: RgbArray) -> Floats:
    """Each channel as `COARSE` x `COARSE` patches, less the smooth surface that fits it best."""
    patches = np.stack([mean(channel, COARSE).ravel() for channel in colours]).astype(float)
    return np.asarray(patches - patches @ _surfaces() @ _surfaces().T)


@cache
def _surfaces() -> Floats:
    """Orthonormal surfaces, the columns."""
    places = np.linspace(-1, 1, COARSE)
    powers = [
        np.outer(places**down, places**across).ravel()
        for down in range(SMOOTH_DEGREE + 1)
        for across in range(SMOOTH_DEGREE + 1 - down)
    ]
    return np.asarray(np.linalg.qr(np.array(powers).T)[0])


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
