"""Untrusted bytes to a picture as it is stored. Runs in a decoding child process."""

from __future__ import annotations

from workers.images.decoded import Decoded
from workers.policy import ImagePolicy


def decode(data: bytes, policy: ImagePolicy) -> Decoded:
    """Decode, judge, scale, hash and encode one picture.

    Raises Reject (not_an_image, format_refused, truncated, too_many_pixels, decode_failed,
    too_small, extreme_ratio, single_colour) and MemoryError, nothing else. It has no time limit.
    """
    raise NotImplementedError
