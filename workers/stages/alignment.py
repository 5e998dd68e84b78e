"""What the stages score and select share: one scorer, which scores captions of stored images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from kaption.objectstore.blobs import BlobStore
from kaption.schemas import Caption, ImageRef, Provenance, StageTrace
from kaption.schemas.limits import LIST_ITEMS
from kaption.workers.models.scorer import Scorer
from kaption.workers.models.windows import fit, score_texts
from kaption.workers.policy import ClipPolicy, ScorePolicy, SelectPolicy
from kaption.workers.runtime.stage import Batching
from kaption.workers.stages.images import open_stored
from kaption.workers.stages.provenance import Tracer
from kaption.workers.stores.embeddings import EmbeddingCache, EmbeddingKey

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    ImageInput = NDArray[np.float32] | torch.Tensor
    """A cached embedding of shape (d,), or the pixels to compute it from."""

_BATCH_WAIT_S = 1.0
"""How long a batch that is not full waits for more records: full batches use the device best."""


class Alignment:
    """Scores captions against stored images. Call `setup` before anything else.

    Each image is embedded once: the cache shares its embedding between stages and workers.
    """

    def __init__(
        self,
        policy: ClipPolicy,
        blobs: BlobStore,
        embeddings: EmbeddingCache,
        load_scorer: Callable[[ClipPolicy], Scorer],
    ) -> None:
        self.policy = policy
        self._blobs = blobs
        self._cache = embeddings
        self._load_scorer = load_scorer

    def setup(self) -> None:
        """Load the scorer. Raises Fatal."""
        self.scorer = self._load_scorer(self.policy)

    def ready(self) -> str | None:
        """None when blob store and cache answer, else the error."""
        return self._blobs.ready() or self._cache.ready()

    def prepare(self, image: ImageRef) -> ImageInput:
        """The cached embedding, else the pixels of the fetched image. Any thread may call it.

        Raises Reject (blob missing), Dead (blob damaged), Retry.
        """
        (vector,) = self._cache.get([self._key(image)])
        if vector is not None:
            return vector
        return self.scorer.preprocess(open_stored(self._blobs, image))

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
        vectors = self._embed(images, inputs)
        texts = [caption.text for _, caption in captions]
        scores = score_texts(self.scorer, texts, vectors[[at for at, _ in captions]])
        return [
            caption.model_copy(
                update={"score": s.score, "window_scores": s.window_scores[:LIST_ITEMS]}
            )
            for (_, caption), s in zip(captions, scores, strict=True)
        ]

    def fitted(self, caption: Caption) -> Caption:
        """The caption, with `fitted_text` if its text is too long for the scorer."""
        fitted = fit(caption.text, self.scorer.count_tokens, self.scorer.context_length)
        text = None if fitted == caption.text else fitted
        return caption.model_copy(update={"fitted_text": text})

    def gave(self, trace: StageTrace) -> bool:
        """Whether this scorer, with the same preprocessing, gave the scores of that trace.

        Such scores need not be computed again.
        """
        return (
            trace.models.get(self.scorer.model) == self.scorer.revision
            and trace.preprocessing_id == self.scorer.preprocessing_id
        )

    def _embed(
        self, images: Sequence[ImageRef], inputs: Sequence[ImageInput]
    ) -> NDArray[np.float32]:
        """Embeddings as (n, d) unit rows. New ones go to the cache."""
        import numpy as np
        import torch

        rows = dict(enumerate(inputs))
        pixels = {at: item for at, item in rows.items() if isinstance(item, torch.Tensor)}
        if pixels:
            vectors = self.scorer.encode_images(list(pixels.values()))
            # Go on with the rounded vectors that the cache keeps: a redelivery and the select stage
            # read those, and must come to the same scores.
            kept = self._cache.put([self._key(images[at]) for at in pixels], vectors)
            rows |= zip(pixels, kept, strict=True)
        return np.stack([row for row in rows.values() if isinstance(row, np.ndarray)])

    def _key(self, image: ImageRef) -> EmbeddingKey:
        return EmbeddingKey(image.blob.sha256, self.scorer.revision, self.scorer.preprocessing_id)


class Aligned:
    """What a stage has that scores captions and compares the scores with one threshold."""

    name: ClassVar[str]

    def __init__(
        self,
        policy: ScorePolicy | SelectPolicy,
        alignment: Alignment,
        threshold: float | None,
        now: Callable[[], datetime],
    ) -> None:
        """`threshold` is a cosine; None takes the one that the scorer recommends."""
        self._alignment = alignment
        self._given_threshold = threshold
        self._batching = Batching(policy.batch_records, _BATCH_WAIT_S)
        self._tracer = Tracer(self.name, now, policy, alignment.policy)

    @property
    def batching(self) -> Batching:
        """As the policy says."""
        return self._batching

    def setup(self) -> None:
        """Load the scorer. Raises Fatal."""
        self._alignment.setup()
        given = self._given_threshold
        self._threshold = self._alignment.scorer.recommended_score if given is None else given

    def ready(self) -> str | None:
        """None when blob store and cache answer, else the error."""
        return self._alignment.ready()

    def _traced(self, earlier: Provenance, seconds: float) -> Provenance:
        """The provenance with this stage's entry, which names the scorer."""
        scorer = self._alignment.scorer
        models = {scorer.model: scorer.revision}
        return earlier.then(self._tracer.trace(seconds, models, scorer.preprocessing_id))
