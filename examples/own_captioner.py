"""A captioner of your own: names the main colours of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, Field

from kaption.schemas import Caption, CaptionKind

if TYPE_CHECKING:
    from PIL import Image

    from kaption.workers.captioners.captioner import CaptionContext

COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "red": (200, 30, 30),
    "orange": (240, 140, 20),
    "yellow": (240, 220, 40),
    "green": (40, 150, 60),
    "blue": (40, 80, 200),
    "purple": (130, 50, 160),
    "brown": (120, 75, 40),
}


class ColourSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of this captioner."""

    most: int = Field(default=3, ge=1)
    """Colours in one caption."""
    least_share: float = Field(default=0.15, gt=0, le=1)
    """Share of the pixels below which a colour is not named."""


class ColourCaptioner:
    """Captions such as ``an image in white and red``."""

    name = "colours"
    model = "colours"
    revision = "1"
    """Raise it when the answers change: it is kept with every caption."""
    cache_id: str | None = None  # looking an answer up would take longer than making it
    uses_images = True
    uses_context = False

    def __init__(self, settings: ColourSettings) -> None:
        self._settings = settings

    def caption(
        self, images: Sequence[Image.Image], contexts: Sequence[CaptionContext]
    ) -> list[tuple[Caption, ...]]:
        """One caption for each image."""
        return [(self._caption(image),) for image in images]

    def _caption(self, image: Image.Image) -> Caption:
        pixels = np.asarray(image.convert("RGB").resize((32, 32))).reshape(-1, 1, 3)
        distances = ((pixels - np.array([*COLOURS.values()])) ** 2).sum(-1)
        shares = np.bincount(distances.argmin(-1), minlength=len(COLOURS)) / len(pixels)
        ranked = sorted(zip(COLOURS, shares, strict=True), key=lambda found: -found[1])
        named = [name for name, share in ranked if share >= self._settings.least_share]
        *rest, last = named[: self._settings.most] or ["many colours"]
        text = f"{', '.join(rest)} and {last}" if rest else last
        return Caption(
            text=f"an image in {text}",
            kind=CaptionKind.RULE,
            model=self.model,
            revision=self.revision,
            prompt_id="colours/main",
        )
