"""Homogeneity: what the phrases cost that too many of the stream's last captions hold.

A caption model has turns of phrase, and takes them again and again. Among candidates that fit
nearly as well, the one with the less worn words is better to train on. A phrase is three words in
succession. Its share is that of the last kept captions of models that hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import Gauge

from kaption.schemas import Caption, CheckResult
from kaption.workers.checks.check import GENERATED
from kaption.workers.checks.words import words
from kaption.workers.stores.phrase_counts import PhraseCounts

TOP = Gauge(
    "kaption_top_phrase_share",
    "Share of the last kept captions of models that hold the most frequent phrase of a batch. It "
    "rises: the captioner repeats itself; raise its temperature, or use more prompts.",
)
NAME = "homogeneity"
"""The name of the result among a caption's checks. The result always passes."""
_GRAM = 3


class Homogeneity:
    """Called by one thread."""

    def __init__(self, counts: PhraseCounts) -> None:
        self._counts = counts
        self._new: list[frozenset[str]] = []
        self._shares: dict[str, float] = {}

    def measured(self, captions: Sequence[Sequence[Caption]]) -> list[list[Caption]]:
        """The captions of a batch, those of models with their mean share as a check. Raises Retry.

        Sends what `kept` was told of since.
        """
        wanted = {each for some in captions for caption in some for each in phrases(caption)}
        self._shares = self._counts.exchange(self._new, wanted)
        self._new = []
        return [[self.again(caption) for caption in some] for some in captions]

    def again(self, caption: Caption) -> Caption:
        """One caption with the shares of the last batch. Phrases that it had not are new."""
        if caption.kind not in GENERATED:
            return caption
        found = [self._shares.get(each, 0.0) for each in phrases(caption)]
        result = CheckResult(
            name=NAME, passed=True, value=sum(found) / len(found) if found else 0.0
        )
        return caption.model_copy(update={"checks": (*caption.checks, result)})

    def kept(self, captions: Iterable[Caption]) -> None:
        """Count captions that were kept, those of models. They are sent with the next batch.

        What a worker did not send when it ends is lost, which changes shares by little.
        """
        new = [found for caption in captions if (found := phrases(caption))]
        self._new += new
        if shares := [self._shares.get(each, 0.0) for found in new for each in found]:
            TOP.set(max(shares))


def phrases(caption: Caption) -> frozenset[str]:
    """The phrases of a caption of a model; none of other texts."""
    if caption.kind not in GENERATED:
        return frozenset()
    found = words(caption.text)
    return frozenset(
        " ".join(found[at : at + _GRAM]) for at in range(max(0, len(found) - _GRAM + 1))
    )


def worn(caption: Caption) -> float:
    """The mean share of the phrases of a measured caption, 0 to 1; 0 for others."""
    return next((each.value or 0.0 for each in caption.checks if each.name == NAME), 0.0)
