"""Decides which captions of a pair are kept, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

from kaption.schemas import Caption, CaptionKind
from kaption.workers.checks.words import similarity
from kaption.workers.policy import SelectPolicy

NEAR_EQUAL = 0.9
"""Token Jaccard similarity from which two captions count as the same."""


def rank(captions: Sequence[Caption], policy: SelectPolicy, min_score: float) -> list[Caption]:
    """At most `policy.keep` captions with a score of at least `min_score`, best first.

    A candidate goes before the original only if it scores higher by at least `policy.margin`:
    between close scores a person's words count more. A caption that nearly equals a better one is
    left out.
    """
    good = [caption for caption in captions if _score(caption) >= min_score]
    good.sort(key=lambda caption: _rank(caption, policy.margin), reverse=True)
    kept: list[Caption] = []
    for caption in good:
        if len(kept) == policy.keep:
            break
        if all(similarity(caption.text, other.text) < NEAR_EQUAL for other in kept):
            kept.append(caption)
    return kept


def _rank(caption: Caption, margin: float) -> tuple[float, bool]:
    original = caption.kind is CaptionKind.ORIGINAL
    return _score(caption) + (margin if original else 0.0), not original


def _score(caption: Caption) -> float:
    assert caption.score is not None
    return caption.score
