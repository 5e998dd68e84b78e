"""Recaption: asks the captioners for candidate captions of images with a weak alt text."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from hashlib import sha256
from threading import RLock
from typing import TYPE_CHECKING, cast

from kaption.objectstore.blobs import BlobStore
from kaption.schemas import Caption, CaptionedPair, CaptionerResult, CaptionerUse, ScoredPair
from kaption.schemas.limits import CAPTIONS
from kaption.schemas.topics import CAPTIONED, SCORED
from kaption.workers.captioners.captioner import CaptionContext, Captioner
from kaption.workers.checks.check import NO_MASKS, Masks
from kaption.workers.policy.recaption import RecaptionPolicy
from kaption.workers.runtime.stage import Batching, Emit, Incoming, Outcome, Stage
from kaption.workers.safety.documents import NO_DOCUMENTS, DocumentCheck
from kaption.workers.stages.bar import Bar, BarInput
from kaption.workers.stages.image_text import ImageTexts
from kaption.workers.stages.images import opened, red_square, stored_bytes
from kaption.workers.stages.provenance import Tracer
from kaption.workers.stages.spending import IMAGES, Spending
from kaption.workers.stores.budget import DailyBudget
from kaption.workers.stores.captions import CaptionCache, CaptionKey

if TYPE_CHECKING:
    from PIL import Image

    from kaption.workers.stages.alignment import ImageInput

_BATCH_WAIT_S = 2.0
"""How long a batch that is not full waits for more records: a caption model gains most by
full batches."""
_PREPARED_BYTES = 2**30
"""Most bytes of prepared images that wait for a batch. An image beyond is prepared with its batch:
to let threads wait for memory could stop the record that the memory waits for."""


RULES = "rules"
"""The captioner that takes nothing: no budget limits it."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class RecaptionInput:
    """One prepared pair, with the captions that it has so far.

    A batch that is repeated, because a server was away, asks for the others alone: nothing is paid
    for twice.
    """

    context: CaptionContext
    answers: dict[int, tuple[Caption, ...]]
    """The candidates by the captioner's number: those from the cache, then new ones."""
    image: Image.Image | None
    """None unless a captioner that uses images has no cached candidates, and did not prepare it."""
    shown: Mapping[int, object]
    """The prepared image, by the captioner's number."""
    judged: ImageInput | None
    """The image as the scorer takes it, where there is a bar."""
    seconds: float
    """Seconds that the preparation took."""
    uses: dict[int, CaptionerUse] = field(default_factory=dict)
    """What each captioner did, by its number. One that is missing answered from the cache."""
    unsaved: set[int] = field(default_factory=set)
    """Captioners whose answers the cache does not have yet."""


Batch = Sequence[tuple[Incoming[ScoredPair], RecaptionInput]]


@dataclass(frozen=True, slots=True)
class RecaptionParts:
    """What recaption works with."""

    blobs: BlobStore
    captions: CaptionCache
    load_captioners: Callable[[RecaptionPolicy], Sequence[Captioner]]
    texts: ImageTexts | None = None
    """Reads the text in images; None: nobody does."""
    bar: Bar | None = None
    """Needed where the policy names large captioners."""
    budget: DailyBudget | None = None
    masks: Masks = NO_MASKS
    documents: DocumentCheck = NO_DOCUMENTS


class RecaptionStage(Stage[ScoredPair, RecaptionInput]):
    """Asks every configured captioner. A pair goes on to select with or without candidates.

    Large captioners are asked about the pairs that are still below the bar: see `Bar`.
    """

    name = "recaption"
    inputs = (SCORED,)
    outputs = (CAPTIONED,)

    def __init__(
        self, policy: RecaptionPolicy, parts: RecaptionParts, *, now: Callable[[], datetime]
    ) -> None:
        """`now` returns aware UTC times."""
        self._policy = policy
        self._blobs = parts.blobs
        self._cache = parts.captions
        self._load_captioners = parts.load_captioners
        self._texts = parts.texts
        self._masks = parts.masks
        self._documents = parts.documents
        self._bar = parts.bar if policy.large else None
        self._spending = Spending(parts.budget)
        others = self._bar.policies if self._bar else ()
        self._tracer = Tracer(self.name, now, policy, *others)
        self._waiting_bytes = 0
        self._waiting = RLock()  # a finalizer may run while it is held

    @property
    def batching(self) -> Batching:
        """The batches of records that the policy asks for."""
        return Batching(self._policy.batch_records, _BATCH_WAIT_S)

    def setup(self) -> None:
        """Load the captioners, and the scorer where there is a bar. Raises Fatal."""
        policy = self._policy
        self._captioners = tuple(self._load_captioners(policy))
        self._large = range(len(self._captioners) - len(policy.large), len(self._captioners))
        self._fallback: Sequence[Captioner] = ()
        if policy.daily_budget.limits and RULES not in policy.named:
            only = {"captioners": (RULES,), "large": (), "settings": {}}
            self._fallback = self._load_captioners(policy.model_copy(update=only))
        every = (*self._captioners, *self._fallback)
        self._models = {captioner.model: captioner.revision for captioner in every}
        if self._bar:
            self._bar.setup()
        if self._texts:
            self._texts.setup()

    def prepare(self, message: Incoming[ScoredPair]) -> RecaptionInput:
        """Get the cached candidates, and the image if a captioner needs it.

        Raises Reject (blob missing, personal data, identity document), Dead (blob damaged), Retry.
        """
        began = time.perf_counter()
        pair = message.record
        language = pair.detected_language or pair.language
        read = cache(lambda: stored_bytes(self._blobs, pair.image.blob))
        lines = self._texts.of(pair, read) if self._texts else pair.ocr
        self._documents.refuse(lines)
        ocr = self._masks.each(lines)
        context = CaptionContext(pair.clean_text, language, pair.tags, ocr, pair.objects)
        keys = {
            at: _key(pair, captioner, context)
            for at, captioner in enumerate(self._captioners)
            if captioner.cache_id is not None
        }
        found = dict(zip(keys, self._cache.get(list(keys.values())), strict=True))
        answers = {at: answer for at, answer in found.items() if answer is not None}
        judged = self._bar.alignment.prepare(pair.image) if self._bar else None
        looking = [
            at
            for at, captioner in enumerate(self._captioners)
            if captioner.uses_images and at not in answers
        ]
        image, shown = None, {}
        if looking:
            image = opened(read(), pair.image.blob)
            context = replace(context, stored=read())
            shown = {at: own for at in looking if (own := self._shown(at, image)) is not None}
            image = None if len(shown) == len(looking) else image
        seconds = time.perf_counter() - began
        ready = RecaptionInput(context, answers, image, shown, judged, seconds)
        if size := sum(getattr(own, "nbytes", 0) for own in shown.values()):
            self._count(size)
            weakref.finalize(ready, self._count, -size)  # also where its partition is lost
        return ready

    def _shown(self, at: int, image: Image.Image) -> object | None:
        """What captioner number `at` makes of an image; None if it prepares none, or memory is
        short.
        """
        prepare: Callable[[Image.Image], object] | None
        prepare = getattr(self._captioners[at], "prepare", None)
        full = self._waiting_bytes >= _PREPARED_BYTES
        return None if prepare is None or full else prepare(image)

    def _count(self, size: int) -> None:
        with self._waiting:
            self._waiting_bytes += size

    def process(self, batch: Batch) -> Sequence[Outcome]:
        """Ask each captioner, in one call, about all pairs without cached candidates.

        Raises Retry, OutOfMemory.
        """
        began = time.perf_counter()
        first = range(self._large.start)
        for at in first:
            self._ask(at, batch)
        bars = self._bar.of([message.record for message, _ in batch]) if self._bar else None
        if self._bar and bars:
            judged = [
                BarInput(message.record, cast("ImageInput", item.judged), self._said(item, first))
                for message, item in batch
            ]
            below = self._bar.below(judged, bars)
            low = [each for each, is_low in zip(batch, below, strict=True) if is_low]
            enough = [item for (_, item), is_low in zip(batch, below, strict=True) if not is_low]
            for at in self._large:
                self._ask(at, low)
                for item in enough:
                    item.answers.pop(at, None)  # whether one is cached must change nothing
                    item.uses[at] = self._use(at, CaptionerResult.NOT_NEEDED)
        self._spending.flush()
        share = (time.perf_counter() - began) / len(batch)
        least = bars or [None] * len(batch)
        return [
            self._emit(message.record, item, share, bar)
            for (message, item), bar in zip(batch, least, strict=True)
        ]

    def probe(self) -> None:
        """Ask each captioner about an image of our own. Raises any error if one is broken."""
        for captioner in self._captioners:
            images = [red_square()] if captioner.uses_images else []
            captioner.caption(images, [CaptionContext("a red square")])
        if self._bar:
            self._bar.alignment.probe()

    def ready(self) -> str | None:
        """None when blob store and caption cache answer, else the error."""
        return self._blobs.ready() or self._cache.ready()

    def _ask(self, at: int, batch: Batch) -> None:
        """Get the candidates of captioner number `at` for the items that have none of it."""
        captioner = self._captioners[at]
        missing = [item for _, item in batch if at not in item.answers]
        grant = None
        if missing and captioner.name != RULES:
            grant = self._spending.reserve(captioner.name, len(missing))
            if grant is not None:
                for item in missing[grant.images :]:
                    item.uses[at] = self._use(at, CaptionerResult.OVER_BUDGET)
                missing = missing[: grant.images]
        if missing:
            contexts = [item.context for item in missing]
            items = missing if captioner.uses_images else []
            images = [item.shown.get(at, item.image) for item in items]
            new = self._spending.asked(
                captioner,
                lambda: captioner.caption(cast("Sequence[Image.Image]", images), contexts),
                len(missing),
                grant,
            )
            for item, (answer, use) in zip(missing, new, strict=True):
                item.answers[at], item.uses[at] = answer, use
                if captioner.cache_id is not None and answer:
                    # What a server refused today may have an answer tomorrow.
                    item.unsaved.add(at)
        unsaved = [(message.record, item) for message, item in batch if at in item.unsaved]
        if unsaved:
            keys = [_key(pair, captioner, item.context) for pair, item in unsaved]
            self._cache.put(keys, [item.answers[at] for _, item in unsaved])
            for _, item in unsaved:
                item.unsaved.discard(at)

    def _use(self, at: int, result: CaptionerResult) -> CaptionerUse:
        return CaptionerUse(captioner=self._captioners[at].name, result=result)

    def _said(self, item: RecaptionInput, captioners: Sequence[int]) -> tuple[Caption, ...]:
        return self._masks.each(
            (it for at in captioners for it in item.answers.get(at, ())), pass_over=True
        )

    def _emit(
        self, pair: ScoredPair, item: RecaptionInput, seconds: float, bar: float | None
    ) -> Emit:
        uses = [
            item.uses.get(at) or self._use(at, CaptionerResult.CACHED)
            for at in range(len(self._captioners))
        ]
        for use in uses:
            IMAGES.labels(use.captioner, use.result.value).inc()
        captions = self._said(item, range(len(self._captioners)))
        if any(use.result is CaptionerResult.OVER_BUDGET for use in uses):
            for each in self._fallback:
                captions += self._masks.each(each.caption([], [item.context])[0], pass_over=True)
        ocr = item.context.ocr
        read = self._texts.models if self._texts and ocr and not pair.ocr else {}
        trace = self._tracer.trace(item.seconds + seconds, self._models | read, uses=uses)
        trace = trace.model_copy(update={"threshold": bar})
        fields = dict(pair) | {"ocr": ocr, "provenance": pair.provenance.then(trace)}
        captioned = CaptionedPair(**fields, candidates=_different(captions))
        return Emit(((CAPTIONED, captioned),))


def _different(captions: Sequence[Caption]) -> tuple[Caption, ...]:
    """The captions without blank and repeated texts. The first of equal texts stays."""
    by_text = {caption.text.strip(): caption for caption in reversed(captions)}
    kept = [c for c in captions if c.text.strip() and by_text[c.text.strip()] is c]
    return tuple(kept[:CAPTIONS])


def _key(pair: ScoredPair, captioner: Captioner, context: CaptionContext) -> CaptionKey:
    assert captioner.cache_id is not None
    known = sha256(repr(context).encode()).hexdigest()[:32] if captioner.uses_context else ""
    return CaptionKey(pair.image.blob.sha256, captioner.cache_id, known)
