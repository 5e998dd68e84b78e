"""Image embeddings for score and select: from the cache, or from the stored picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from schemas import ImageRef
from workers.models.scorer import Scorer
from workers.stages.pictures import Blobs, open_picture
from workers.stores.embeddings import EmbeddingCache, EmbeddingKey

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    ImageInput = NDArray[np.float32] | torch.Tensor
    """A cached embedding of shape (d,), or the pixels it is to be computed from."""


class ImageEmbedder:
    """Embeds each picture once and shares it through the cache."""

    def __init__(self, scorer: Scorer, blobs: Blobs, cache: EmbeddingCache) -> None:
        self._scorer = scorer
        self._blobs = blobs
        self._cache = cache

    def prepare(self, image: ImageRef) -> ImageInput:
        """Called by many threads; a picture is fetched only when its embedding is not cached.

        Raises Reject (blob missing), Dead, Retry.
        """
        (vector,) = self._cache.get([self._key(image)])
        if vector is not None:
            return vector
        return self._scorer.preprocess(open_picture(self._blobs, image))

    def embed(
        self, images: Sequence[ImageRef], inputs: Sequence[ImageInput]
    ) -> NDArray[np.float32]:
        """(n, d) unit rows; new ones are cached. Raises OutOfMemory, Retry."""
        import numpy as np
        import torch

        missing = [at for at, item in enumerate(inputs) if isinstance(item, torch.Tensor)]
        rows = [item if isinstance(item, np.ndarray) else None for item in inputs]
        if missing:
            pixels = [item for item in inputs if isinstance(item, torch.Tensor)]
            vectors = self._scorer.encode_images(pixels)
            # As they are kept: on redelivery, and in select, they come from the cache.
            kept = self._cache.put([self._key(images[at]) for at in missing], vectors)
            for at, vector in zip(missing, kept, strict=True):
                rows[at] = vector
        return np.stack([row for row in rows if row is not None])

    def _key(self, image: ImageRef) -> EmbeddingKey:
        return EmbeddingKey(image.blob.sha256, self._scorer.revision, self._scorer.preprocessing_id)
