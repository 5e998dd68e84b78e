"""Splits texts of any script into words, to count and to compare them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

# Scripts without spaces between words, and how many letters a word has in them. Vowel signs and
# tone marks are no letters here.
_LETTERS_OF_A_WORD = {
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff": 1.5,  # Han
    "\u3040-\u30ff": 2.0,  # kana
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46": 3.0,  # Thai
    "\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0edc-\u0edf": 3.0,  # Lao
    "\u1000-\u102a\u103f\u1050-\u1055": 3.0,  # Myanmar
    "\u1780-\u17b3": 3.0,  # Khmer
}
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
# Python's \\w leaves out the signs of vowels and accents, which lie inside words of Indic scripts,
# Arabic and Hebrew; joiners lie there too.
_SIGNS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963"
    "\u0966-\u0df3\u0f00-\u0fff\u135d-\u135f\u200c\u200d"
)
_SPACED = rf"(?:[^\W{_SPACELESS}]|[{_SIGNS}])+"
_SPACED = rf"{_SPACED}(?:['\u2019\-]{_SPACED})*"
_WORD = re.compile(rf"[{_SPACELESS}]|{_SPACED}")
_RUN = re.compile(rf"[{_SPACELESS}]+|{_SPACED}")
_IS_SPACELESS = re.compile(rf"[{_SPACELESS}]")
_LETTERS = {re.compile(f"[{letters}]"): size for letters, size in _LETTERS_OF_A_WORD.items()}
_GRAM = 3


def words(text: str) -> list[str]:
    """The words in lower case, without punctuation; each character of a script without spaces."""
    return _WORD.findall(text.lower())


def count_words(text: str) -> int:
    """The number of words; an estimate by the letters where a script has no spaces."""
    spaced = sum(not _IS_SPACELESS.match(word) for word in _WORD.findall(text))
    estimate = sum(len(letter.findall(text)) / size for letter, size in _LETTERS.items())
    return spaced + math.ceil(estimate)


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of the sets of words, 0 to 1; two texts without words have 1.

    Three neighbouring characters stand for a word in scripts without spaces: single letters of
    Thai are the same in any two texts.
    """
    first, second = set(_units(one)), set(_units(other))
    union = first | second
    return len(first & second) / len(union) if union else 1.0


def _units(text: str) -> Iterator[str]:
    for run in _RUN.findall(text.lower()):
        if not _IS_SPACELESS.match(run) or len(run) <= _GRAM:
            yield run
        else:
            yield from (run[at : at + _GRAM] for at in range(len(run) - _GRAM + 1))
