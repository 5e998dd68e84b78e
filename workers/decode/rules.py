"""The rules for acceptable images: size, aspect ratio and content."""

from __future__ import annotations

import math
from operator import mul

from PIL import Image

from kaption.schemas import Reason
from kaption.workers.policy import ImagePolicy
from kaption.workers.runtime.stage import Reject

MIN_DEVIATION = 2.0
"""Standard deviation of the luma (0-255) below which an image counts as a single colour. Such
images collide in any perceptual hash, so they must not reach deduplication."""
_LEVELS = range(256)
_SQUARES = [level * level for level in _LEVELS]


def check_size(width: int, height: int, policy: ImagePolicy) -> None:
    """Raises Reject (too_many_pixels, too_small, extreme_ratio) by the header's size."""
    if width * height > policy.max_pixels:
        raise Reject(
            Reason.TOO_MANY_PIXELS, f"{width}x{height}, {policy.max_pixels} pixels at most"
        )
    short, long = sorted((width, height))
    if short < policy.min_side:
        raise Reject(Reason.TOO_SMALL, f"{width}x{height}, {policy.min_side} pixels at least")
    if long > policy.max_ratio * short:
        raise Reject(Reason.EXTREME_RATIO, f"{width}x{height}, {policy.max_ratio:g} to 1 at most")


def check_content(luma: Image.Image) -> None:
    """Raises Reject (single_colour) if the scaled image, in mode L, has hardly any contrast."""
    deviation = luma_deviation(luma)
    if deviation < MIN_DEVIATION:
        raise Reject(
            Reason.SINGLE_COLOUR,
            f"standard deviation of luma {deviation:.2f}, {MIN_DEVIATION:g} at least",
        )


def luma_deviation(luma: Image.Image) -> float:
    """Standard deviation of an image of mode L, in grey levels from 0 to 255."""
    counts = luma.histogram()
    total = sum(counts)
    mean = sum(map(mul, counts, _LEVELS)) / total
    return math.sqrt(max(0.0, sum(map(mul, counts, _SQUARES)) / total - mean * mean))
