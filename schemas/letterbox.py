"""Keep-ratio preprocessing: the whole image, never cropped or squashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import torch
    from PIL import Image


@dataclass(frozen=True)
class Letterbox:
    """Resize so that the image just fits into the model's size, centre it, pad the rest.

    `mean` and `std` are per channel for values of 0 to 1. Normalisation is left to the device:
    bytes are a quarter of the floats to keep in the prefetch queue and to copy.

    Scoring and training share it, so that a `preprocessing_id` in a pair's provenance names
    something that training can do too.
    """

    height: int
    width: int
    interpolation: str
    """``bicubic`` or ``bilinear``."""
    pad: tuple[int, int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def of(cls, preprocess_cfg: Mapping[str, Any]) -> Self:
        """With the numbers of an open_clip model (`open_clip.get_model_preprocess_cfg`).

        The padding is the fill colour of a model trained on letterboxed images. Models trained
        on crops never saw padding; their mean colour becomes 0 after normalisation, the neutral
        choice.
        """
        size = preprocess_cfg["size"]
        height, width = (size, size) if isinstance(size, int) else tuple(size)[-2:]
        red, green, blue = (float(channel) for channel in preprocess_cfg["mean"])
        if preprocess_cfg["resize_mode"] == "longest":
            fill = int(preprocess_cfg["fill_color"])
            pad = (fill, fill, fill)
        else:
            pad = (round(red * 255), round(green * 255), round(blue * 255))
        std_red, std_green, std_blue = (float(channel) for channel in preprocess_cfg["std"])
        interpolation = "bilinear" if preprocess_cfg["interpolation"] == "bilinear" else "bicubic"
        mean, std = (red, green, blue), (std_red, std_green, std_blue)
        return cls(height, width, interpolation, pad, mean, std)

    @cached_property
    def id(self) -> str:
        """Names everything that changes what the model sees."""
        text = json.dumps(asdict(self), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        colour = "".join(f"{channel:02x}" for channel in self.pad)
        return f"longest-{self.height}x{self.width}-{self.interpolation}-pad{colour}-{digest}"

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """RGB image to (3, height, width) uint8. Safe to call from many threads."""
        return self.boxed(self.fitted(image))

    def fitted(self, image: Image.Image) -> Image.Image:
        """RGB image resized, not yet padded."""
        from PIL import Image

        scale = min(self.width / image.width, self.height / image.height)
        width = max(1, round(image.width * scale))
        height = max(1, round(image.height * scale))
        resampling = Image.Resampling[self.interpolation.upper()]
        return image.convert("RGB").resize((width, height), resampling)

    def boxed(self, fitted: Image.Image) -> torch.Tensor:
        """What `fitted` gave, padded, as (3, height, width) uint8."""
        import numpy as np
        import torch
        from PIL import Image

        boxed = Image.new("RGB", (self.width, self.height), self.pad)
        corner = ((self.width - fitted.width) // 2, (self.height - fitted.height) // 2)
        boxed.paste(fitted, corner)
        return torch.from_numpy(np.array(boxed)).permute(2, 0, 1).contiguous()

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, 3, height, width) uint8 to what the model takes: float32 on the same device."""
        import torch

        mean, std = (
            torch.tensor(channels, device=pixels.device).view(1, 3, 1, 1) * 255
            for channels in (self.mean, self.std)
        )
        return (pixels.float() - mean) / std
