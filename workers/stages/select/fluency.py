"""Fluency: reads all texts of a batch at once, and measures how improbable a caption may be.

The bar sets itself, for each language: it is the perplexity that all but a few of the stream's good
alt texts stay below. The same alt texts with their words shuffled lie above it, where the model
knows the language. Where half of them do not, the model cannot tell word salad, and refuses none.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from math import exp, isfinite
from typing import NamedTuple

from prometheus_client import Gauge

from kaption.schemas import Caption, CaptionKind, Route
from kaption.workers.checks.check import GENERATED, LossCheck
from kaption.workers.checks.words import words
from kaption.workers.policy.select import PerplexityPolicy
from kaption.workers.stages.mixture import quantile
from kaption.workers.stages.select.checked import Batch, SelectInput
from kaption.workers.stores.cosines import Cell, Cosines, CosineSample, CosineStore, bin_of
from kaption.workers.text.language import detected

MOST = Gauge(
    "kaption_perplexity_most",
    "Perplexity above which captions of models are refused, by language. It moves: look whether "
    "the alt texts of the stream changed.",
    ("language",),
)
_WIDEST = 16.0
"""Losses from 0 to this one have a place; it is the perplexity nine million."""
_SALAD = 0.5
"""Least share of the shuffled texts that must lie above a bar."""
_STEP = 0.1
"""The bar moves when the estimate is so far away: by a tenth of the perplexity."""
_FEWEST = 4
"""Words that a text needs, so that shuffling them makes a difference."""
_log = logging.getLogger(__name__)


class JudgedText(NamedTuple):
    """A text that is to be read, and the language it is in; empty if that is unsure."""

    caption: Caption
    language: str


class Fluency:
    """The check `perplexity` over batches. Called by one thread.

    `store` holds the losses of alt texts for all replicas, as it holds cosines for thresholds.
    """

    def __init__(self, check: LossCheck, store: CosineStore, policy: PerplexityPolicy) -> None:
        self._check = check
        self._store = store
        self._policy = policy
        self._key = ("perplexity", check.revision)
        self._bars: dict[str, float | None] = {}

    def judged(self, batch: Batch) -> Batch:
        """The batch, whose captions have the result; what fails goes to `failed`.

        Raises OutOfMemory, Retry, and ValueError where the model is broken.
        """
        reads = [
            JudgedText(caption, self._language(caption))
            for _, prepared in batch
            for caption in prepared.passed
        ]
        # One batch of the model for all of it.
        good = [
            (message, shuffled)
            for message, prepared in batch
            if message.record.route is Route.ALT_TEXT_GOOD
            and message.record.detected_language
            and any(each.kind is CaptionKind.ORIGINAL for each in prepared.passed)
            and (shuffled := shuffle(message.record.clean_text))
        ]
        texts = [read.caption.text for read in reads]
        texts += [text for message, salad in good for text in (message.record.clean_text, salad)]
        losses = dict(zip(texts, self._check.losses(texts), strict=True))
        if not all(map(isfinite, losses.values())):
            raise ValueError(f"the check {self._check.name!r} gives a loss that is not a number")
        if self._policy.most is None:
            self._store.add(
                self._key,
                [
                    CosineSample(
                        Cell(message.record.detected_language or ""),
                        message.position,
                        _place(losses[message.record.clean_text]),
                        [_place(losses[salad])],
                    )
                    for message, salad in good
                ],
            )
            self._read({read.language for read in reads if read.language})
        results = iter([self._with(read, losses[read.caption.text]) for read in reads])
        return [
            (message, _sorted(prepared, [next(results) for _ in prepared.passed]))
            for message, prepared in batch
        ]

    def again(self, caption: Caption) -> Caption:
        """A caption that was shortened since, judged anew. Raises OutOfMemory."""
        (loss,) = self._check.losses([caption.text])
        return self._with(JudgedText(caption, self._language(caption)), loss)

    def probe(self) -> None:
        """Try the model. Raises any error if it is broken."""
        self._check.try_out()

    def _language(self, caption: Caption) -> str:
        judged = caption.kind in GENERATED and self._policy.most is None
        return detected(caption.text) if judged else ""

    def _with(self, read: JudgedText, loss: float) -> Caption:
        most = self._policy.most or self._bars.get(read.language)
        result = self._check.judged(read.caption, loss, most)
        return read.caption.model_copy(update={"checks": (*read.caption.checks, result)})

    def _read(self, languages: set[str]) -> None:
        cells = [Cell(language) for language in sorted(languages)]
        for cell, found in zip(cells, self._store.read(self._key, cells), strict=True):
            self._bars[cell.language] = self._bar(cell, found)

    def _bar(self, cell: Cell, found: Cosines) -> float | None:
        """The most perplexity of a language; None where nothing is known or can be told."""
        used = None if found.used is None else _loss(found.used)
        if found.matched.total() >= self._policy.warm_up_texts:
            place = quantile(found.matched, self._policy.false_rejection)
            above = sum(n for at, n in found.shuffled.items() if at < bin_of(place))
            if above < _SALAD * found.shuffled.total():
                return None
            if used is None or abs(_loss(place) - used) > _STEP:
                told = {"language": cell.language, "before": used and exp(used)}
                _log.info("perplexity changed", extra=told | {"after": exp(_loss(place))})
                self._store.use(self._key, cell, place)
                used = _loss(place)
        if used is None:
            return None
        MOST.labels(cell.language).set(exp(used))
        return exp(used)


def shuffle(text: str) -> str | None:
    """The text with its words in another order, always the same one; None for too few words."""
    parts, between = text.split(), " "
    if len(parts) < _FEWEST:
        parts, between = words(text), ""  # of a script without spaces these are its characters
        if len(parts) < _FEWEST or len("".join(parts)) > len(parts):
            return None
    random.Random(text).shuffle(parts)  # noqa: S311 (no secret)
    found = between.join(parts)
    return None if found == text else found


def _sorted(prepared: SelectInput, captions: Sequence[Caption]) -> SelectInput:
    passed = tuple(each for each in captions if each.checks[-1].passed)
    failed = tuple(each for each in captions if not each.checks[-1].passed)
    return replace(prepared, passed=passed, failed=(*prepared.failed, *failed))


def _place(loss: float) -> float:
    """A loss as the store's cosines have it: 1 is certain, -1 as improbable as can be."""
    return 1 - 2 * min(loss, _WIDEST) / _WIDEST


def _loss(place: float) -> float:
    return (1 - place) / 2 * _WIDEST
