"""Keep-ratio preprocessing: the whole picture, never cropped or squashed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from PIL import Image


@dataclass(frozen=True)
class Letterbox:
    """Resize so that the picture just fits into the model's size, centre it, pad the rest.

    `mean` and `std` are per channel for values of 0 to 1. Normalisation is left to the device:
    bytes are a quarter of the floats to keep in the prefetch queue and to copy.
    """

    height: int
    width: int
    interpolation: str
    """``bicubic`` or ``bilinear``."""
    pad: tuple[int, int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @cached_property
    def id(self) -> str:
        """Names everything that changes what the model sees."""
        text = json.dumps(asdict(self), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        colour = "".join(f"{channel:02x}" for channel in self.pad)
        return f"longest-{self.height}x{self.width}-{self.interpolation}-pad{colour}-{digest}"

    def pixels(self, picture: Image.Image) -> torch.Tensor:
        """RGB picture to (3, height, width) uint8. Safe to call from many threads."""
        import numpy as np
        import torch
        from PIL import Image

        scale = min(self.width / picture.width, self.height / picture.height)
        width = max(1, round(picture.width * scale))
        height = max(1, round(picture.height * scale))
        resampling = Image.Resampling[self.interpolation.upper()]
        boxed = Image.new("RGB", (self.width, self.height), self.pad)
        resized = picture.convert("RGB").resize((width, height), resampling)
        boxed.paste(resized, ((self.width - width) // 2, (self.height - height) // 2))
        return torch.from_numpy(np.array(boxed)).permute(2, 0, 1).contiguous()
