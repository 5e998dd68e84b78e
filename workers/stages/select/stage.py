"""Select: keeps the best of the original and the candidates, or rejects the pair."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from kaption.schemas import (
    Audit,
    AuditState,
    Caption,
    CaptionedPair,
    CaptionKind,
    CleanPair,
    Reason,
    Route,
    TextSource,
)
from kaption.schemas.topics import AUDIT, CAPTIONED, CLEAN
from kaption.workers.checks.check import Check, LossCheck, PairCheck
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.runtime.stage import Emit, Incoming, Outcome, Reject, Stage
from kaption.workers.stages.alignment import Aligned, Alignment
from kaption.workers.stages.select.checked import Batch, SelectInput, failures, passes
from kaption.workers.stages.select.comparison import Comparison
from kaption.workers.stages.select.fluency import Fluency
from kaption.workers.stages.select.homogeneity import Homogeneity
from kaption.workers.stages.select.sample import AuditSample
from kaption.workers.stages.select.short import apart, excused, is_telling, refused
from kaption.workers.stages.select.specificity import Others
from kaption.workers.stages.select.versioned import versioned
from kaption.workers.stages.thresholds import cell_of
from kaption.workers.stores.bank import Bank, Embedded
from kaption.workers.stores.cosines import Cell
from kaption.workers.stores.phrase_counts import PhraseCounts
from kaption.workers.stores.strata import Strata
from kaption.workers.stores.takedowns import TakedownList
from kaption.workers.stores.versions import Versions


@dataclass(frozen=True, slots=True)
class SelectStores:
    """What select keeps in Redis, besides what `Alignment` holds."""

    takedowns: TakedownList
    bank: Bank
    phrases: PhraseCounts
    strata: Strata
    versions: Versions | None = None
    """None if `ingest.dedup.later_texts` is off: then no copy brings a text later."""


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """What became of the captions of one pair."""

    left: Sequence[Caption]
    """Measured captions that passed the checks and that no takedown covers."""
    kept: Sequence[Caption]
    """Best first."""
    original: Caption | None
    """The pair's own alt text if it was measured, whether it passed the checks or not."""
    least: float | None
    """The threshold."""


class SelectStage(Aligned, Stage[CaptionedPair, SelectInput]):
    """Emits clean pairs, and a sample of them to pairs.audit for people.

    Select looks takedowns up once more, for pairs that had passed ingest when the takedown came.
    """

    name = "select"
    inputs = (CAPTIONED,)
    outputs = (CLEAN, AUDIT)

    def __init__(
        self,
        policy: SelectPolicy,
        alignment: Alignment,
        checks: Sequence[Check],
        stores: SelectStores,
        *,
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(policy, alignment, [policy.min_score], now)
        self._policy = policy
        # A model reads the captions of a batch at once. A second model reads them one by one.
        reads = next((each for each in checks if isinstance(each, LossCheck)), None)
        self._checks = [each for each in checks if each is not reads]
        self._fluency = Fluency(reads, alignment.cosines, policy.perplexity) if reads else None
        self._homogeneity = Homogeneity(stores.phrases) if policy.worn_cost else None
        self._takedowns = stores.takedowns
        self._bank = stores.bank
        self._versions = stores.versions
        self._sample = AuditSample(policy.audit_fraction, stores.strata)

    def setup(self) -> None:
        """Load the scorer. Raises Fatal."""
        super().setup()
        self._others = Others(self._bank, self._alignment.scorer)

    def probe(self) -> None:
        """Score an image of our own, and read a sentence. Raises any error of a broken model."""
        super().probe()
        if self._fluency is not None:
            self._fluency.probe()

    def prepare(self, message: Incoming[CaptionedPair]) -> SelectInput:
        """Check the captions, and get the cached embedding, else the pixels.

        Raises Reject (no caption, checks failed, blob missing), Dead (blob damaged), Retry.
        """
        began = time.perf_counter()
        pair = message.record
        captions = [
            excused(self._checked(each, pair), self._policy)
            for each in _captions(pair, self._alignment)
        ]
        passed = tuple(filter(passes, captions))
        failed = tuple(c for c in captions if c not in passed)
        if not captions:
            raise Reject(Reason.NO_CAPTION, "neither alt text nor candidates")
        if not passed:
            raise Reject(Reason.CHECKS_FAILED, failures(failed))
        image = self._alignment.prepare(pair.image)
        return SelectInput(passed, failed, image, time.perf_counter() - began)

    def process(self, batch: Batch) -> Sequence[Outcome]:
        """Score and rank the captions, and reject pairs without a good one.

        The images of accepted pairs are offered to the bank. Raises OutOfMemory, Retry.
        """
        began = time.perf_counter()
        if self._fluency is not None:
            batch = self._fluency.judged(batch)
        pairs = [message.record for message, _ in batch]
        records = [pair.image for pair in pairs]
        rows = self._alignment.embed(records, [prepared.image for _, prepared in batch])
        images = Embedded([image.blob.sha256 for image in records], rows)
        others = self._others.beside(images) if self._policy.bank_images else Embedded([], rows[:0])
        comparison = Comparison(self._alignment, self._policy, images, others)
        captions = _measured(batch, comparison)
        if self._homogeneity is not None:
            captions = self._homogeneity.measured(captions)
        # Look takedowns up late, to keep the time between this look and the commit short. Only what
        # is left is ranked and grounded.
        gone = self._takedowns.rejections(pairs)
        judged = self._judged(batch, captions, comparison)
        share = (time.perf_counter() - began) / len(batch)
        decided = [
            gone.get(at)
            or self._decided(message.record, prepared, judged[at], comparison.bank_id, share)
            for at, (message, prepared) in enumerate(batch)
        ]
        if self._versions is not None:
            messages, scorer = [message for message, _ in batch], self._alignment.scorer
            decided = versioned(messages, decided, self._versions, self._policy.margin, scorer)
        clean = {at: found for at, found in enumerate(decided) if isinstance(found, CleanPair)}
        if self._homogeneity is not None:
            self._homogeneity.kept(each for at in clean for each in judged[at].kept)
        if self._policy.bank_images:
            accepted = list(clean)
            self._others.accept(Embedded([images.sha256s[at] for at in accepted], rows[accepted]))
        sampled = dict(zip(clean, self._sample.of(list(clean.values())), strict=True))
        return [
            _emitted(found, sampled[at]) if isinstance(found, CleanPair) else found
            for at, found in enumerate(decided)
        ]

    def _checked(self, caption: Caption, pair: CaptionedPair | None = None) -> Caption:
        results = tuple(
            check.check_pair(caption, pair)
            if pair is not None and isinstance(check, PairCheck)
            else check.check(caption)
            for check in self._checks
        )
        return caption.model_copy(update={"checks": results})

    def _judged(
        self, batch: Batch, captions: Sequence[Sequence[Caption]], comparison: Comparison
    ) -> list[JudgedPair]:
        """Rank and ground what is left of each pair's measured captions."""
        covered = self._covered({caption.source for each in captions for caption in each})
        left = [
            [c for c in each[: len(prepared.passed)] if c.source not in covered]
            for each, (_, prepared) in zip(captions, batch, strict=True)
        ]
        least = self._limits([message.record for message, _ in batch])
        limits = [_limit(each) for each in least]
        parts = [apart(each, self._policy) for each in left]
        alt_texts = [message.record.clean_text for message, _ in batch]
        kept = comparison.kept([long for long, _ in parts], limits, self._passing, alt_texts)
        # Short texts are for pairs of which no other text is kept.
        telling = [
            [] if found else [each for each in short if is_telling(each, self._policy)]
            for found, (_, short) in zip(kept, parts, strict=True)
        ]
        instead = comparison.kept(telling, limits, self._passing, alt_texts)
        kept = [found or other for found, other in zip(kept, instead, strict=True)]
        originals = [next(filter(_is_own_text, each), None) for each in captions]
        return [JudgedPair(*each) for each in zip(left, kept, originals, least, strict=True)]

    def _passing(self, caption: Caption) -> Caption | None:
        checked = self._checked(caption)
        if self._fluency is not None and passes(checked):
            checked = self._fluency.again(checked)
        if self._homogeneity is not None:
            checked = self._homogeneity.again(checked)
        return checked if passes(checked) else None

    def _limits(self, pairs: Sequence[CaptionedPair]) -> list[float | None]:
        """The threshold of each pair.

        The stage score may have called an alt text good by a threshold that has moved since: then
        that one holds. Candidates need not have the language of the alt text, so they must also
        reach the threshold for all texts.
        """
        *own, everywhere = self._least([*map(cell_of, pairs), Cell()])
        limits: list[float | None] = []
        for pair, least in zip(pairs, own, strict=True):
            if least is None or everywhere is None or not self._sets_itself:
                limits.append(least)
            elif pair.route is Route.NEEDS_CAPTION:
                limits.append(max(least, everywhere))
            else:
                traces = [t for t in pair.provenance.stages if t.stage == "score"]
                then = [t.threshold for t in traces if self._alignment.gave(t)]
                limits.append(min([least, *(each for each in then if each is not None)]))
        return limits

    def _covered(self, found: Collection[TextSource | None]) -> frozenset[TextSource]:
        """The sources among these that a takedown covers."""
        sources = [source for source in found if source is not None]
        covering = self._takedowns.covering(sources)
        return frozenset(each for each, by in zip(sources, covering, strict=True) if by is not None)

    def _decided(
        self,
        pair: CaptionedPair,
        prepared: SelectInput,
        judged: JudgedPair,
        bank_id: str | None,
        share: float,
    ) -> CleanPair | Reject:
        if not prepared.passed:
            return Reject(Reason.CHECKS_FAILED, failures(prepared.failed))
        if not judged.left:
            return Reject(Reason.TAKEN_DOWN, "the only text that passed its checks")
        if not judged.kept:
            long, short = apart(judged.left, self._policy)
            failed = (*prepared.failed, *(refused(each, self._policy) for each in short))
            if not long:
                return Reject(Reason.CHECKS_FAILED, failures(failed))
            return Reject(Reason.LOW_ALIGNMENT, _too_low(long, judged.least, failed))
        original = judged.original
        seconds = prepared.seconds + share
        fields = {name: value for name, value in pair if name in CleanPair.model_fields}
        fields |= {
            "captions": tuple(self._alignment.fitted(caption) for caption in judged.kept),
            "original_score": original and original.score,
            "original_specificity": original and original.specificity,
            "provenance": self._traced(pair.provenance, seconds, judged.least, bank_id),
        }
        return CleanPair(**fields)


def _emitted(clean: CleanPair, sampled: bool) -> Emit:
    if not sampled:
        return Emit(((CLEAN, clean),))
    audit = clean.model_copy(update={"audit": Audit(state=AuditState.SAMPLED)})
    return Emit(((CLEAN, clean), (AUDIT, audit)))


def _measured(batch: Batch, comparison: Comparison) -> list[list[Caption]]:
    """For each pair the captions that passed the checks, then an original that did not and had a
    score.
    """
    wanted = [
        (at, caption)
        for at, (_, prepared) in enumerate(batch)
        for caption in (*prepared.passed, *filter(_scored_original, prepared.failed))
    ]
    captions: list[list[Caption]] = [[] for _ in batch]
    for (at, _), caption in zip(wanted, comparison.measured(wanted), strict=True):
        captions[at].append(caption)
    return captions


def _limit(least: float | None) -> float:
    """The least score; every one where no threshold is known."""
    return -1.0 if least is None else least


def _too_low(left: Sequence[Caption], least: float | None, failed: Sequence[Caption]) -> str:
    best = max(left, key=lambda caption: caption.score or 0.0)
    told = f"{best.kind.value} {best.score:.3f} < min_score {_limit(least):.3f}"
    detail = f"best of {len(left)}: {told}"
    return detail + (f"; failed checks: {failures(failed)}" if failed else "")


def _captions(pair: CaptionedPair, alignment: Alignment) -> list[Caption]:
    """The texts that people wrote and the candidates. A score of another scorer is removed."""
    texts = [*([] if pair.original is None else [pair.original]), *pair.other_texts]
    ours = any(trace.stage == "score" and alignment.gave(trace) for trace in pair.provenance.stages)
    unscored = {"score": None, "window_scores": (), "specificity": None}
    if not ours:
        texts = [text.model_copy(update=unscored) for text in texts]
    return texts + [caption.model_copy(update=unscored) for caption in pair.candidates]


def _is_own_text(caption: Caption) -> bool:
    return caption.kind is CaptionKind.ORIGINAL and caption.source is None


def _scored_original(caption: Caption) -> bool:
    return _is_own_text(caption) and caption.score is not None
