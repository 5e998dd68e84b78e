"""Letterboxing: resize an image to a model's size with its ratio kept, then pad."""

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
    """Resizes an image until it just fits into the model's size, centres it and pads the rest.

    The image is never cropped or squashed. `pixels` gives bytes and `normalised` makes floats on
    the device, because bytes take a quarter of the memory in the prefetch queue and on the bus.

    Scoring and training share this class: training can repeat the preprocessing that a
    `preprocessing_id` in a pair's provenance names.
    """

    height: int
    width: int
    interpolation: str
    """``bicubic`` or ``bilinear``."""
    pad: tuple[int, ...]
    """Colour of the padding: red, green and blue from 0 to 255."""
    mean: tuple[float, ...]
    """Per channel, for values from 0 to 1."""
    std: tuple[float, ...]
    """Per channel, for values from 0 to 1."""

    @classmethod
    def of(cls, preprocess_cfg: Mapping[str, Any]) -> Self:
        """The letterbox of an open_clip model (`open_clip.get_model_preprocess_cfg`).

        A model that was trained on letterboxed images pads with its own fill colour. A model that
        was trained on crops never saw padding: it pads with its mean colour, which normalisation
        turns into the neutral 0.
        """
        size = preprocess_cfg["size"]
        height, width = (size, size) if isinstance(size, int) else tuple(size)[-2:]
        mean, std = (tuple(map(float, preprocess_cfg[name])) for name in ("mean", "std"))
        pad = tuple(round(channel * 255) for channel in mean)
        if preprocess_cfg["resize_mode"] == "longest":
            pad = (int(preprocess_cfg["fill_color"]),) * 3
        interpolation = "bilinear" if preprocess_cfg["interpolation"] == "bilinear" else "bicubic"
        return cls(height, width, interpolation, pad, mean, std)

    @cached_property
    def id(self) -> str:
        """The `preprocessing_id`: two letterboxes with equal ids give the model equal pixels."""
        text = json.dumps(asdict(self), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        colour = "".join(f"{channel:02x}" for channel in self.pad)
        return f"longest-{self.height}x{self.width}-{self.interpolation}-pad{colour}-{digest}"

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """Resize and pad an image to (3, height, width) uint8. Any thread may call it."""
        return self.boxed(self.fitted(image))

    def fitted(self, image: Image.Image) -> Image.Image:
        """Resize an image to RGB without padding."""
        from PIL import Image

        scale = min(self.width / image.width, self.height / image.height)
        width = max(1, round(image.width * scale))
        height = max(1, round(image.height * scale))
        resampling = Image.Resampling[self.interpolation.upper()]
        return image.convert("RGB").resize((width, height), resampling)

    def boxed(self, fitted: Image.Image) -> torch.Tensor:
        """Pad the result of `fitted` to (3, height, width) uint8."""
        import numpy as np
        import torch
        from PIL import Image

        boxed = Image.new("RGB", (self.width, self.height), self.pad)
        corner = ((self.width - fitted.width) // 2, (self.height - fitted.height) // 2)
        boxed.paste(fitted, corner)
        return torch.from_numpy(np.array(boxed)).permute(2, 0, 1).contiguous()

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalise (n, 3, height, width) uint8 to the model's float32 input on its device."""
        import torch

        mean, std = (
            torch.tensor(channels, device=pixels.device).view(1, 3, 1, 1) * 255
            for channels in (self.mean, self.std)
        )
        return (pixels.float() - mean) / std
