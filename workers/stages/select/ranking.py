"""Which captions of a pair are kept, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

from kaption.schemas import Caption, CaptionKind
from kaption.workers.checks.words import similarity
from kaption.workers.policy import SelectPolicy

NEAR_EQUAL = 0.9
"""Token Jaccard similarity from which two captions count as the same."""


def rank(captions: Sequence[Caption], policy: SelectPolicy, min_score: float) -> list[Caption]:
    """At most `policy.keep` scored captions of at least `min_score`, best first.

    The original goes before every caption that is not better by `policy.margin`: a person's words
    are worth more than a tie. A caption nearly equal to a better one is left out, so that the ones
    kept differ.
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
