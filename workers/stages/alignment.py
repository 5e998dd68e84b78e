"""Scores captions against stored images. The stages score and select share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from kaption.objectstore.blobs import BlobStore
from kaption.schemas import Caption, ImageRef, StageTrace
from kaption.schemas.limits import LIST_ITEMS
from kaption.workers.models.scorer import Scorer
from kaption.workers.models.windows import fit, score_texts
from kaption.workers.policy import ClipPolicy
from kaption.workers.stages.images import open_stored
from kaption.workers.stores.embeddings import EmbeddingCache, EmbeddingKey

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    ImageInput = NDArray[np.float32] | torch.Tensor
    """A cached embedding of shape (d,), or the pixels to compute it from."""


class ImageEmbedder:
    """Embeds each image once. The cache shares the embeddings between stages and workers."""

    def __init__(self, scorer: Scorer, blobs: BlobStore, cache: EmbeddingCache) -> None:
        self._scorer = scorer
        self._blobs = blobs
        self._cache = cache

    def prepare(self, image: ImageRef) -> ImageInput:
        """The cached embedding, else the pixels of the fetched image. Any thread may call it.

        Raises Reject (blob missing), Dead (blob damaged), Retry.
        """
        (vector,) = self._cache.get([self._key(image)])
        if vector is not None:
            return vector
        return self._scorer.preprocess(open_stored(self._blobs, image))

    def embed(
        self, images: Sequence[ImageRef], inputs: Sequence[ImageInput]
    ) -> NDArray[np.float32]:
        """Embeddings as (n, d) unit rows. New ones go to the cache. Raises OutOfMemory, Retry."""
        import numpy as np
        import torch

        missing = [at for at, item in enumerate(inputs) if isinstance(item, torch.Tensor)]
        rows = [item if isinstance(item, np.ndarray) else None for item in inputs]
        if missing:
            pixels = [item for item in inputs if isinstance(item, torch.Tensor)]
            vectors = self._scorer.encode_images(pixels)
            # Go on with the rounded vectors that the cache keeps: a redelivery and the select stage
            # read those, and must come to the same scores.
            kept = self._cache.put([self._key(images[at]) for at in missing], vectors)
            for at, vector in zip(missing, kept, strict=True):
                rows[at] = vector
        return np.stack([row for row in rows if row is not None])

    def _key(self, image: ImageRef) -> EmbeddingKey:
        return EmbeddingKey(image.blob.sha256, self._scorer.revision, self._scorer.preprocessing_id)


class Alignment:
    """Scores captions against stored images. Call `setup` before anything else."""

    def __init__(
        self,
        policy: ClipPolicy,
        blobs: BlobStore,
        embeddings: EmbeddingCache,
        load_scorer: Callable[[ClipPolicy], Scorer],
    ) -> None:
        self.policy = policy
        self._blobs = blobs
        self._embeddings = embeddings
        self._load_scorer = load_scorer

    def setup(self) -> None:
        """Load the scorer. Raises Fatal."""
        self._scorer = self._load_scorer(self.policy)
        self._embedder = ImageEmbedder(self._scorer, self._blobs, self._embeddings)

    def ready(self) -> str | None:
        """None when blob store and cache answer, else the error."""
        return self._blobs.ready() or self._embeddings.ready()

    def threshold(self, given: float | None) -> float:
        """The configured cosine `given`, else the one that the scorer recommends."""
        return self._scorer.recommended_score if given is None else given

    def prepare(self, image: ImageRef) -> ImageInput:
        """The cached embedding, else the pixels. Any thread may call it.

        Raises Reject (blob missing), Dead (blob damaged), Retry.
        """
        return self._embedder.prepare(image)

    def score(
        self,
        images: Sequence[ImageRef],
        inputs: Sequence[ImageInput],
        captions: Sequence[tuple[int, Caption]],
    ) -> list[Caption]:
        """Embed all images and score each caption against the image at its index.

        `inputs` are the results of `prepare` for `images`. All embeddings are cached. Returns the
        captions in their order, with `score` and `window_scores`. Raises OutOfMemory, Retry.
        """
        if not images:
            return []
        vectors = self._embedder.embed(images, inputs)
        texts = [caption.text for _, caption in captions]
        scores = score_texts(self._scorer, texts, vectors[[at for at, _ in captions]])
        return [
            caption.model_copy(
                update={"score": s.score, "window_scores": s.window_scores[:LIST_ITEMS]}
            )
            for (_, caption), s in zip(captions, scores, strict=True)
        ]

    def fitted(self, caption: Caption) -> Caption:
        """The caption, with `fitted_text` if its text is too long for the scorer."""
        fitted = fit(caption.text, self._scorer.count_tokens, self._scorer.context_length)
        text = None if fitted == caption.text else fitted
        return caption.model_copy(update={"fitted_text": text})

    @property
    def models(self) -> Mapping[str, str]:
        """The scorer's name and revision."""
        return {self._scorer.model: self._scorer.revision}

    @property
    def preprocessing_id(self) -> str:
        """Names the preprocessing of the images that the scorer sees."""
        return self._scorer.preprocessing_id

    def gave(self, trace: StageTrace) -> bool:
        """Whether this scorer, with the same preprocessing, gave the scores of that trace.

        Such scores need not be computed again.
        """
        return (
            trace.models.get(self._scorer.model) == self._scorer.revision
            and trace.preprocessing_id == self._scorer.preprocessing_id
        )
