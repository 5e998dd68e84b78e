"""The interface of a scorer: an image-text model that score and select use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image


class Scorer(Protocol):
    """Embeds images and texts into one space; their cosine says how well they fit.

    Making the scorer loads its model, and raises Fatal with what to do where that fails.
    `preprocess` is called by many threads at once, the other methods by one at a time: the stages
    of a process share the scorer.
    """

    model: str
    """The name of the model, for the provenance of every pair."""
    revision: str
    """Another one wherever the embeddings change: cached embeddings are found by it."""
    preprocessing_id: str
    """Another one wherever `preprocess` gives other pixels."""
    context_length: int
    """Tokens of a text, begin and end marks included."""
    recommended_score: float | None
    """Cosine that separates right from wrong texts for this model (see its card), until thresholds
    are measured on the stream. None: nobody has measured it."""

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """RGB image to a (3, h, w) tensor on the CPU.

        The whole image is in it: the longest side is resized, the rest padded.
        """

    def encode_images(self, pixels: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """(n, d) unit rows. Raises OutOfMemory."""

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) unit rows; each text must fit `context_length`. Raises OutOfMemory."""

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, begin and end marks included."""
