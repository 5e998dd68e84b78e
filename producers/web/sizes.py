"""The size that a page declares for an image; it tells tracking pixels and icons."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kaption.producers.web.document import Element

_STYLE = re.compile(r"(?:^|;)\s*(?:width|height)\s*:\s*([0-9]{1,6})(?:\.[0-9]*)?px", re.IGNORECASE)
_PIXELS = re.compile(r"\s*([0-9]{1,6})(?:\.[0-9]*)?\s*(?:px)?\s*", re.IGNORECASE)


def declared_side(img: Element) -> int | None:
    """The smaller of width and height in CSS pixels, from attributes and style; None if unknown."""
    return min(_sides(img), default=None)


def pixels(text: str) -> int | None:
    """A whole number of pixels; None for percentages and anything else."""
    found = _PIXELS.fullmatch(text)
    return int(found[1]) if found else None


def _sides(img: Element) -> Iterator[int]:
    for name in ("width", "height"):
        side = pixels(img.get(name) or "")
        if side is not None:
            yield side
    for side_text in _STYLE.findall(img.get("style") or ""):
        yield int(side_text)
