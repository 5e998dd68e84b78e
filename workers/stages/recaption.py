"""Recaption: asks the captioners for candidate captions of images with a weak alt text."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from kaption.objectstore.blobs import BlobStore
from kaption.schemas import Caption, CaptionedPair, ScoredPair
from kaption.schemas.limits import CAPTIONS
from kaption.schemas.topics import CAPTIONED, SCORED
from kaption.workers.captioners.captioner import CaptionContext, Captioner
from kaption.workers.policy import RecaptionPolicy
from kaption.workers.runtime.stage import Batching, Emit, Incoming, Outcome, Stage
from kaption.workers.stages.images import open_stored
from kaption.workers.stages.provenance import Tracer
from kaption.workers.stores.captions import CaptionCache, CaptionKey

if TYPE_CHECKING:
    from PIL import Image

_BATCH_WAIT_S = 2.0
"""How long a batch that is not full waits for more records: a caption model gains most by
full batches."""


@dataclass(frozen=True, slots=True)
class RecaptionInput:
    """One prepared pair."""

    context: CaptionContext
    cached: tuple[tuple[Caption, ...] | None, ...]
    """For each captioner its cached candidates, or None."""
    image: Image.Image | None
    """None unless a captioner that uses images has no cached candidates."""
    seconds: float
    """Seconds that the preparation took."""


class RecaptionStage(Stage[ScoredPair, RecaptionInput]):
    """Asks every configured captioner. A pair goes on to select with or without candidates."""

    name = "recaption"
    inputs = (SCORED,)
    outputs = (CAPTIONED,)

    def __init__(
        self,
        policy: RecaptionPolicy,
        blobs: BlobStore,
        captions: CaptionCache,
        *,
        load_captioners: Callable[[RecaptionPolicy], Sequence[Captioner]],
        now: Callable[[], datetime],
    ) -> None:
        self._policy = policy
        self._blobs = blobs
        self._cache = captions
        self._load_captioners = load_captioners
        self._tracer = Tracer(self.name, now, policy)

    @property
    def batching(self) -> Batching:
        """As the policy says."""
        return Batching(self._policy.batch_records, _BATCH_WAIT_S)

    def setup(self) -> None:
        """Load the captioners. Raises Fatal."""
        self._captioners = tuple(self._load_captioners(self._policy))
        self._models = {captioner.model: captioner.revision for captioner in self._captioners}

    def prepare(self, message: Incoming[ScoredPair]) -> RecaptionInput:
        """Get the cached candidates, and the image if a captioner needs it.

        Raises Reject (blob missing), Dead (blob damaged), Retry.
        """
        began = time.perf_counter()
        pair = message.record
        context = CaptionContext(
            pair.clean_text,
            pair.detected_language or pair.language,
            pair.tags,
            pair.ocr,
            pair.objects,
        )
        keys = {
            at: _key(pair, captioner, context)
            for at, captioner in enumerate(self._captioners)
            if captioner.cache_id is not None
        }
        found = dict(zip(keys, self._cache.get(list(keys.values())), strict=True))
        cached = tuple(found.get(at) for at in range(len(self._captioners)))
        looking = any(
            captioner.uses_images and answer is None
            for captioner, answer in zip(self._captioners, cached, strict=True)
        )
        image = open_stored(self._blobs, pair.image) if looking else None
        return RecaptionInput(context, cached, image, time.perf_counter() - began)

    def process(
        self, batch: Sequence[tuple[Incoming[ScoredPair], RecaptionInput]]
    ) -> Sequence[Outcome]:
        """Ask each captioner, in one call, about all pairs without cached candidates."""
        began = time.perf_counter()
        answers = [self._answers(at, batch) for at in range(len(self._captioners))]
        share = (time.perf_counter() - began) / len(batch)
        return [
            self._emit(
                message.record,
                [caption for answer in answers for caption in answer[row]],
                prepared.seconds + share,
            )
            for row, (message, prepared) in enumerate(batch)
        ]

    def ready(self) -> str | None:
        """None when blob store and caption cache answer, else the error."""
        return self._blobs.ready() or self._cache.ready()

    def _answers(
        self, at: int, batch: Sequence[tuple[Incoming[ScoredPair], RecaptionInput]]
    ) -> list[tuple[Caption, ...]]:
        """The candidates of captioner number `at` for each item of the batch."""
        captioner = self._captioners[at]
        found = {row: item.cached[at] for row, (_, item) in enumerate(batch)}
        missing = [row for row, answer in found.items() if answer is None]
        if missing:
            contexts = [batch[row][1].context for row in missing]
            images = [batch[row][1].image for row in missing] if captioner.uses_images else []
            new = captioner.caption([image for image in images if image], contexts)
            if captioner.cache_id is not None:
                keys = [
                    _key(batch[row][0].record, captioner, context)
                    for row, context in zip(missing, contexts, strict=True)
                ]
                self._cache.put(keys, new)
            found |= dict(zip(missing, new, strict=True))
        return [found[row] or () for row in range(len(batch))]

    def _emit(self, pair: ScoredPair, captions: Sequence[Caption], seconds: float) -> Emit:
        trace = self._tracer.trace(seconds, self._models)
        fields = dict(pair) | {"provenance": pair.provenance.then(trace)}
        return Emit(((CAPTIONED, CaptionedPair(**fields, candidates=_different(captions))),))


def _different(captions: Sequence[Caption]) -> tuple[Caption, ...]:
    """The captions without blank and repeated texts. The first of equal texts stays."""
    by_text = {caption.text.strip(): caption for caption in reversed(captions)}
    kept = [c for c in captions if c.text.strip() and by_text[c.text.strip()] is c]
    return tuple(kept[:CAPTIONS])


def _key(pair: ScoredPair, captioner: Captioner, context: CaptionContext) -> CaptionKey:
    assert captioner.cache_id is not None
    known = sha256(repr(context).encode()).hexdigest()[:32] if captioner.uses_context else ""
    return CaptionKey(pair.image.blob.sha256, captioner.cache_id, known)
