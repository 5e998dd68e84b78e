"""The rules for acceptable images: size, aspect ratio and content."""

from __future__ import annotations

import cv2

from kaption.schemas import Reason
from kaption.workers.decode.pixels import Luma
from kaption.workers.policy.ingest import ImagePolicy
from kaption.workers.runtime.stage import Reject

MIN_DEVIATION = 2.0
"""Standard deviation of the luma (0-255) below which an image counts as a single colour. Such
images collide in any perceptual hash, so they must not reach deduplication."""


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


def check_content(luma: Luma) -> None:
    """Raises Reject (single_colour) if the scaled image has hardly any contrast."""
    deviation = float(cv2.meanStdDev(luma)[1].item())
    if deviation < MIN_DEVIATION:
        raise Reject(
            Reason.SINGLE_COLOUR,
            f"standard deviation of luma {deviation:.2f}, {MIN_DEVIATION:g} at least",
        )
