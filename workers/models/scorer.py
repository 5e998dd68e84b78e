"""What score and select ask of an image-text model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image


class Scorer(Protocol):
    """A dual encoder. `preprocess` may be called from many threads, the encoders from one."""

    model: str
    revision: str
    preprocessing_id: str
    context_length: int
    """Tokens of a text, begin and end marks included."""
    recommended_score: float
    """Cosine that separates right from wrong texts for this model (see its card)."""

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """RGB image to a (3, h, w) CPU tensor; ratio kept: longest side resized, rest padded."""

    def encode_images(self, pixels: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """(n, d) unit rows. Raises OutOfMemory."""

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) unit rows; each text must fit `context_length`. Raises OutOfMemory."""

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, begin and end marks included."""
