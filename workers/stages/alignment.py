"""What the stages score and select share: one scorer, which scores captions of stored images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, ClassVar

from kaption.objectstore.blobs import BlobStore
from kaption.schemas import Caption, ImageRef, Provenance, StageTrace
from kaption.workers.models.scorer import Scorer
from kaption.workers.models.windows import TextScore, fit, score_texts
from kaption.workers.policy.score import ClipPolicy, ScorePolicy
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.runtime.stage import Batching
from kaption.workers.stages.images import open_stored, red_square
from kaption.workers.stages.provenance import Tracer
from kaption.workers.stages.thresholds import Thresholds
from kaption.workers.stores.cosines import Cell, CosineStore
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
        cosines: CosineStore,
        load_scorer: Callable[[ClipPolicy], Scorer],
    ) -> None:
        self.policy = policy
        self.cosines = cosines
        self._blobs = blobs
        self._cache = embeddings
        self._load_scorer = load_scorer

    def setup(self) -> None:
        """Load the scorer. Raises Fatal."""
        self.scorer = self._load_scorer(self.policy)

    def ready(self) -> str | None:
        """None when blob store and cache answer, else the error."""
        return self._blobs.ready() or self._cache.ready()

    def probe(self) -> None:
        """Score an image of our own. Raises any error of the scorer, ValueError for no number."""
        vectors = self.scorer.encode_images([self.scorer.preprocess(red_square())])
        (found,) = score_texts(self.scorer, ["a red square"], vectors)
        if not isfinite(found.score):
            raise ValueError(f"the scorer gives the score {found.score}")

    def prepare(self, image: ImageRef) -> ImageInput:
        """The cached embedding, else the pixels of the fetched image. Any thread may call it.

        Raises Reject (blob missing), Dead (blob damaged), Retry.
        """
        (vector,) = self._cache.get([self._key(image)])
        if vector is not None:
            return vector
        return self.scorer.preprocess(open_stored(self._blobs, image))

    def scores(
        self, vectors: NDArray[np.float32], captions: Sequence[tuple[int, Caption]]
    ) -> list[TextScore]:
        """Score each caption against the row at its index: (n, d), from `embed`.

        Raises OutOfMemory.
        """
        rows = vectors[[at for at, _ in captions]]
        return score_texts(self.scorer, [caption.text for _, caption in captions], rows)

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

    def embed(
        self, images: Sequence[ImageRef], inputs: Sequence[ImageInput]
    ) -> NDArray[np.float32]:
        """Embeddings as (n, d) unit rows. New ones go to the cache. Raises OutOfMemory, Retry."""
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


def scored(caption: Caption, found: TextScore) -> Caption:
    """The caption with its score."""
    update = {"score": found.score, "window_scores": found.window_scores}
    return caption.model_copy(update=update)


class Aligned:
    """A stage that scores captions and compares the scores with one threshold for each pair."""

    name: ClassVar[str]

    def __init__(
        self,
        policy: ScorePolicy | SelectPolicy,
        alignment: Alignment,
        thresholds: Sequence[float | None],
        now: Callable[[], datetime],
        *others: SelectPolicy,
    ) -> None:
        """`thresholds` are cosines; None is one that sets itself. The highest holds.

        `others` are further policies that decide, for the provenance.
        """
        self._alignment = alignment
        self._fixed = [each for each in thresholds if each is not None]
        self._sets_itself = None in thresholds
        self._batching = Batching(policy.batch_records, _BATCH_WAIT_S)
        self._tracer = Tracer(self.name, now, policy, alignment.policy, *others)

    @property
    def batching(self) -> Batching:
        """The batches of records that the policy asks for."""
        return self._batching

    def setup(self) -> None:
        """Load the scorer. Raises Fatal."""
        self._alignment.setup()
        scorer, policy = self._alignment.scorer, self._alignment.policy.thresholds
        self._thresholds = Thresholds(self.name, self._alignment.cosines, scorer, policy)

    def _least(self, cells: Sequence[Cell]) -> list[float | None]:
        """The threshold for each cell; None where nothing is known yet. Raises Retry."""
        measured = self._thresholds.of(cells) if self._sets_itself else [None] * len(cells)
        known = [[*self._fixed, *([] if one is None else [one])] for one in measured]
        return [max(each, default=None) for each in known]

    def ready(self) -> str | None:
        """None when blob store and cache answer, else the error."""
        return self._alignment.ready()

    def probe(self) -> None:
        """Score an image of our own. Raises any error if the scorer is broken."""
        self._alignment.probe()

    def _traced(
        self,
        earlier: Provenance,
        seconds: float,
        threshold: float | None,
        bank_id: str | None = None,
    ) -> Provenance:
        """The provenance with this stage's entry, which names the scorer."""
        scorer = self._alignment.scorer
        models = {scorer.model: scorer.revision}
        trace = self._tracer.trace(seconds, models, scorer.preprocessing_id)
        return earlier.then(trace.model_copy(update={"bank_id": bank_id, "threshold": threshold}))
