"""Grounding: what each phrase of a caption adds to it, by the scorer's own measure.

A phrase alone has another scale than a sentence. So the caption with the phrase is compared with
the caption without it, by specificity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

from kaption.schemas import Caption, CaptionKind
from kaption.workers.checks.check import GENERATED
from kaption.workers.stages.select.names import told
from kaption.workers.stages.select.phrases import shorter

MOST = 8
"""Shorter texts that are scored for one caption."""
CLEARLY = 0.03
"""Specificity that a caption must gain by a cut. docs/evaluation.md shows what it cuts."""

Located = Sequence[tuple[int, Caption]]
"""Captions, each with the index of its pair."""


def grounded(
    kept: Sequence[Sequence[Caption]],
    measure: Callable[[Located], Sequence[Caption]],
    accept: Callable[[int, Caption], Caption | None],
    names: Sequence[frozenset[str]],
) -> list[list[Caption]]:
    """The kept captions of each pair, with `grounding`; captions of models lose their bad phrases.

    `names` are the names in each pair's alt text. No cut takes them from a fused caption.

    `measure` gives captions their score and specificity. It is called once, with at most `MOST`
    texts for each kept caption. `accept` gets the index of a pair and a shorter caption of it, and
    returns that caption with its checks, or None where it may not be kept.
    """
    tried = [
        (
            at,
            caption,
            caption.model_copy(update={"text": rest, "score": None, "doubts": ()}),
            phrase,
        )
        for at, captions in enumerate(kept)
        for caption in captions
        for phrase, rest in islice(shorter(caption.text), MOST)
        if caption.kind is not CaptionKind.FUSED
        or told(rest, names[at]) == told(caption.text, names[at])
    ]
    measured = measure([(at, less) for at, _, less, _ in tried])
    found: dict[tuple[int, str], list[tuple[float, str, Caption]]] = {}
    for (at, whole, _, phrase), less in zip(tried, measured, strict=True):
        if whole.specificity is not None and less.specificity is not None:
            gain = less.specificity - whole.specificity
            found.setdefault((at, whole.text), []).append((gain, phrase, less))
    result = []
    for at, captions in enumerate(kept):
        different: dict[str, Caption] = {}
        for caption in captions:
            tries = found.get((at, caption.text))
            new = (
                _grounded(caption, *max(tries, key=lambda t: t[0]), partial(accept, at))
                if tries
                else caption
            )
            different.setdefault(new.text, new)
        result.append(list(different.values()))
    return result


def _grounded(
    whole: Caption,
    gain: float,
    phrase: str,
    less: Caption,
    accept: Callable[[Caption], Caption | None],
) -> Caption:
    """The caption, or the shorter one where that is clearly better."""
    if whole.kind in GENERATED and gain >= CLEARLY and (accepted := accept(less)):
        return accepted.model_copy(update={"grounding": -gain, "cut": (*whole.cut, phrase)})
    return whole.model_copy(update={"grounding": -gain})
