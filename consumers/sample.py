"""What training gets: a pair and its picture."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from schemas import CleanPair

if TYPE_CHECKING:
    from PIL import Image


class Sample(NamedTuple):
    """One clean pair with its stored picture; picklable."""

    pair: CleanPair
    picture: bytes
    """As stored: re-encoded by ingest, at most the configured longest side."""

    def image(self) -> Image.Image:
        """The picture, RGB and decoded, in its own ratio. Raises OSError where it is damaged."""
        from PIL import Image

        return Image.open(BytesIO(self.picture)).convert("RGB")
