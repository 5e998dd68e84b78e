# ruff: noqa: RUF001  # typographic and CJK punctuation is what this is about
"""Where a text may be cut: sentence ends first, then clauses, then words, never inside a word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_CLOSING = "\"'”’»›)\\]」』）】》"
_SENTENCE_END = re.compile(rf"[.!?…]+[{_CLOSING}]*(?=\s|$)|[。！？｡]+[{_CLOSING}]*")
# A comma or colon counts only before white space: 1,000 and 10:30 and http://... stay whole.
_CLAUSE_END = re.compile(
    rf"[;:,؛،][{_CLOSING}]*(?=\s|$)|[；：，、]|[—―]|(?<=\s)[–-](?=\s)|[\n\r\v\f\u2028\u2029]+"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:mr|mrs|ms|dr|prof|st|vs|no|fig|ca|approx|etc|e\.g|i\.e|z\.b|bzw|[^\W\d_])$",
    re.IGNORECASE,
)
_SPACE = re.compile(r"\s+")
_LEAST = 0.5
"""A cut at a better boundary may cost up to this share of the room, not more."""


def split_clauses(text: str) -> list[str]:
    """Pieces whose concatenation is the text: each ends with its punctuation and white space.

    Boundaries lie after sentence ends, ``; : ,``, dashes between words and line breaks, in Latin
    and CJK punctuation. An empty text has no pieces.
    """
    ends = sorted({*_ends(text, _SENTENCE_END), *_ends(text, _CLAUSE_END), len(text)} - {0})
    starts = [0, *ends[:-1]]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)] if text else []


def cut(text: str, max_chars: int) -> str:
    """At most `max_chars` characters from the start, ended at the last sentence that fits, else at
    the last clause, else at the last word; white space and a dangling separator are cut off.

    Only a single word longer than the room (or a script without spaces) is cut inside, between two
    characters that do not combine. Raises ValueError for a negative length.
    """
    if max_chars < 0:
        raise ValueError(f"max_chars must be 0 or more, got {max_chars}")
    if len(text) <= max_chars:
        return text
    for pattern in (_SENTENCE_END, _CLAUSE_END):
        end = max((end for end in _ends(text, pattern) if _room(text, end) <= max_chars), default=0)
        if _room(text, end) >= max_chars * _LEAST:
            return _trimmed(text[:end], pattern is _CLAUSE_END)
    end = max((space.start() for space in _SPACE.finditer(text[: max_chars + 1])), default=0)
    if text[:end].strip():
        return _trimmed(text[:end], True)
    return _between_characters(text, max_chars)


def _ends(text: str, pattern: re.Pattern[str]) -> Iterator[int]:
    """Offsets after each boundary and the white space that follows it."""
    for match in pattern.finditer(text):
        if match[0] == "." and _ABBREVIATION.search(text, max(0, match.start() - 8), match.start()):
            continue
        space = _SPACE.match(text, match.end())
        yield space.end() if space else match.end()


def _room(text: str, end: int) -> int:
    return len(text[:end].rstrip())


def _trimmed(text: str, separator: bool) -> str:
    text = text.rstrip()
    return text.rstrip(";:,؛،；：，、—―–-").rstrip() or text if separator else text


def _between_characters(text: str, max_chars: int) -> str:
    end = max_chars
    while end and (unicodedata.combining(text[end]) or text[end] in "\u200d\ufe0f"):
        end -= 1
    return text[: end or max_chars].rstrip()
