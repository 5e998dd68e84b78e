"""Images and texts on one scorer: what score and select share."""

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
    """A cached embedding of shape (d,), or the pixels it is to be computed from."""


class ImageEmbedder:
    """Embeds each image once and shares it through the cache."""

    def __init__(self, scorer: Scorer, blobs: BlobStore, cache: EmbeddingCache) -> None:
        self._scorer = scorer
        self._blobs = blobs
        self._cache = cache

    def prepare(self, image: ImageRef) -> ImageInput:
        """Called by many threads; an image is fetched only when its embedding is not cached.

        Raises Reject (blob missing), Dead, Retry.
        """
        (vector,) = self._cache.get([self._key(image)])
        if vector is not None:
            return vector
        return self._scorer.preprocess(open_stored(self._blobs, image))

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


class Alignment:
    """Scores captions against stored images; nothing but `setup` may be called before it."""

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
        """None when blob store and cache answer, else what does not."""
        return self._blobs.ready() or self._embeddings.ready()

    def threshold(self, given: float | None) -> float:
        """The cosine that was configured, or the one that the model's card recommends."""
        return self._scorer.recommended_score if given is None else given

    def prepare(self, image: ImageRef) -> ImageInput:
        """Cached embedding, or pixels. Any thread. Raises Reject (blob missing), Dead, Retry."""
        return self._embedder.prepare(image)

    def score(
        self,
        images: Sequence[ImageRef],
        inputs: Sequence[ImageInput],
        captions: Sequence[tuple[int, Caption]],
    ) -> list[Caption]:
        """Embed and cache all images; score each caption against the image at its index.

        `inputs` are what `prepare` gave for `images`. Raises OutOfMemory, Retry.
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
        """The caption with `fitted_text` where its text is too long for the scorer."""
        fitted = fit(caption.text, self._scorer.count_tokens, self._scorer.context_length)
        text = None if fitted == caption.text else fitted
        return caption.model_copy(update={"fitted_text": text})

    @property
    def models(self) -> Mapping[str, str]:
        """The scorer's revision by its name."""
        return {self._scorer.model: self._scorer.revision}

    @property
    def preprocessing_id(self) -> str:
        """Of the images that the scorer sees."""
        return self._scorer.preprocessing_id

    def gave(self, trace: StageTrace) -> bool:
        """Whether scores of that trace are this scorer's, and so need not be made again."""
        return (
            trace.models.get(self._scorer.model) == self._scorer.revision
            and trace.preprocessing_id == self._scorer.preprocessing_id
        )
