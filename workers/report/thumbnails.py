"""Small copies of stored images, so that a report with hundreds of them stays small."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence

_SIDES = (256, 208, 160, 120)
"""Longest sides that are tried, in pixels."""
_QUALITIES = (70, 50, 30)
_BYTES = 2_600_000
"""The most bytes of all thumbnails; base64 makes 3.5 MB of them."""
_MOST = 24_000
"""The most bytes of one thumbnail."""


class Thumbnails:
    """Makes thumbnails as data URIs. `image` gives stored bytes by sha256, or None."""

    def __init__(self, image: Callable[[str], bytes | None]) -> None:
        self._image = image
        self.absent = 0
        """Images that were asked for and do not exist."""

    def of(self, sha256s: Sequence[str]) -> dict[str, str]:
        """Thumbnails by sha256, for the images that exist and can be read."""
        budget = min(_MOST, _BYTES // max(1, len(sha256s)))
        found = {}
        for sha256 in sha256s:
            data = self._image(sha256)
            self.absent += data is None
            small = None if data is None else _small(data, budget)
            if small is not None:
                found[sha256] = f"data:image/webp;base64,{base64.b64encode(small).decode()}"
        return found


def _small(data: bytes, budget: int) -> bytes | None:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    best = b""
    for side in _SIDES:
        image.thumbnail((side, side))
        for quality in _QUALITIES:
            file = io.BytesIO()
            image.save(file, "WEBP", quality=quality)
            best = file.getvalue()
            if len(best) <= budget:
                return best
    return best
