"""Splits texts of any script into words, to count and to compare them."""

from __future__ import annotations

import re

# Scripts without spaces between words (Han, kana, Thai, Lao, Khmer, Myanmar): each character counts
# as a word.
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W{_SPACELESS}]+(?:['’\-][^\W{_SPACELESS}]+)*")  # noqa: RUF001  # the typographic apostrophe is in words too


def words(text: str) -> list[str]:
    """The words in lower case, without punctuation."""
    return _WORD.findall(text.lower())


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of the sets of words, 0 to 1; two texts without words have 1."""
    first, second = set(words(one)), set(words(other))
    union = first | second
    return len(first & second) / len(union) if union else 1.0
