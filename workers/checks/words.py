"""Words of a text in any script, for counting and comparing."""

from __future__ import annotations

import re

# Scripts that are written without spaces: each character counts as a word (Han, kana, Thai, Lao,
# Khmer, Myanmar).
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W{_SPACELESS}]+(?:['’\-][^\W{_SPACELESS}]+)*")  # noqa: RUF001  # the typographic apostrophe is in words too


def words(text: str) -> list[str]:
    """Lower-cased words, punctuation left out."""
    return _WORD.findall(text.lower())


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of the two texts' sets of words, 0 to 1."""
    first, second = set(words(one)), set(words(other))
    union = first | second
    return len(first & second) / len(union) if union else 1.0
