"""A scorer of your own: a CLIP model that transformers loads, in place of open_clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from kaption.schemas.letterbox import Letterbox
from kaption.workers.models.device import memory_guard, pick_device, weights_digest

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image


class TransformersClipSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of this scorer."""

    model: str
    """A folder that save_pretrained wrote, or a hub name."""
    recommended_score: float | None = None
    """Cosine that separates right from wrong texts, until it is measured on the stream. None:
    nobody knows one."""
    device: str = "auto"


class TransformersClip:
    """A dual encoder."""

    def __init__(self, settings: TransformersClipSettings) -> None:
        import transformers

        library: Any = transformers  # its loaders are untyped
        self._device = pick_device(settings.device)
        self._model = library.CLIPModel.from_pretrained(settings.model).eval().to(self._device)
        self._tokenizer = library.AutoTokenizer.from_pretrained(settings.model)
        images = library.AutoImageProcessor.from_pretrained(settings.model)
        size = self._model.config.vision_config.image_size
        self._letterbox = Letterbox.of(
            {
                "size": size,
                "mean": images.image_mean,
                "std": images.image_std,
                "interpolation": "bicubic",
                "resize_mode": "shortest",
            }
        )
        self.model = settings.model
        self.revision = weights_digest(self._model)
        self.preprocessing_id = self._letterbox.id
        self.context_length = self._model.config.text_config.max_position_embeddings
        self.recommended_score = settings.recommended_score

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """RGB image to (3, h, w) uint8 on the CPU: the whole image, padded."""
        return self._letterbox.pixels(image)

    def encode_images(self, pixels: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """(n, d) unit rows. Raises OutOfMemory."""
        import torch

        with memory_guard(), torch.inference_mode():
            batch = self._letterbox.normalised(torch.stack(list(pixels)).to(self._device))
            return _unit_rows(self._model.get_image_features(batch).pooler_output)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) unit rows. Raises OutOfMemory."""
        import torch

        with memory_guard(), torch.inference_mode():
            batch = self._tokenizer(list(texts), padding=True, return_tensors="pt")
            found = self._model.get_text_features(**batch.to(self._device))
            return _unit_rows(found.pooler_output)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, begin and end marks included."""
        return len(self._tokenizer(text, verbose=False).input_ids)


def _unit_rows(features: torch.Tensor) -> NDArray[np.float32]:
    import torch

    rows: NDArray[np.float32] = torch.nn.functional.normalize(features, dim=-1).cpu().numpy()
    return rows
