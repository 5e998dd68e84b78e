"""Decides which captions of a pair are kept, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kaption.schemas import Caption, CaptionKind
from kaption.workers.checks.words import similarity
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.stages.select.homogeneity import worn
from kaption.workers.stages.select.names import told

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = Mapping[str, NDArray[np.float32]]
    """Embeddings of texts, by text."""

NEAR_EQUAL = 0.9
"""Token Jaccard similarity from which two captions count as the same."""
NEAR_MEANING = 0.95
"""Cosine of two texts' embeddings from which they count as the same."""


def rank(
    captions: Sequence[Caption],
    policy: SelectPolicy,
    min_score: float,
    vectors: Vectors | None = None,
    names: frozenset[str] = frozenset(),
) -> list[Caption]:
    """At most `policy.keep` captions with a score of at least `min_score`, best first.

    The score decides whether a caption fits. Those that fit are ranked by specificity, or by the
    score where one of them has no specificity, less what worn phrases cost. The best one goes
    first. After it go captions of aspects that none before has; then the others. A caption that
    nearly equals a better one, by its words or by `vectors`, is left out, unless it is fused and
    tells more of the page's `names`.

    A candidate goes before the original only if it is better by at least `policy.margin`: between
    close values a person's words count more.
    """
    good = [caption for caption in captions if _score(caption) >= min_score]
    specific = all(caption.specificity is not None for caption in good)

    def value(caption: Caption) -> tuple[float, bool]:
        original = caption.kind is CaptionKind.ORIGINAL
        worth = caption.specificity if specific else caption.score
        worth = (worth or 0.0) - min(policy.worn_cost * worn(caption), policy.margin)
        return worth + (policy.margin if original else 0.0), not original

    good.sort(key=value, reverse=True)
    different: list[Caption] = []
    for caption in good:
        if not any(
            _same(caption, other, vectors or {}) and not _tells_more(caption, other, names)
            for other in different
        ):
            different.append(caption)
    kept: list[Caption] = []
    while different and len(kept) < policy.keep:
        covered = {caption.aspect for caption in kept}
        new = (c for c in different if c.aspect is not None and c.aspect not in covered)
        best = next(new, different[0]) if kept else different[0]
        different.remove(best)
        kept.append(best)
    return kept


def _same(one: Caption, other: Caption, vectors: Vectors) -> bool:
    if similarity(one.text, other.text) >= NEAR_EQUAL:
        return True
    if one.text not in vectors or other.text not in vectors:
        return False
    first, second = vectors[one.text], vectors[other.text]
    return bool(first @ second >= NEAR_MEANING * (first @ first) ** 0.5 * (second @ second) ** 0.5)


def _tells_more(caption: Caption, other: Caption, names: frozenset[str]) -> bool:
    fused = caption.kind is CaptionKind.FUSED
    return fused and bool(told(caption.text, names) - told(other.text, names))


def _score(caption: Caption) -> float:
    assert caption.score is not None
    return caption.score
