# ruff: noqa: RUF001  # typographic and CJK punctuation is what this is about
"""Finds places where a text may be cut: after a sentence, else a clause, else a word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import takewhile

_CLOSING = "\"'”’»›)\\]」』）】》"
_SENTENCE_END = re.compile(rf"[.!?…؟۔।॥]+[{_CLOSING}]*(?=\s|$)|[。！？｡]+[{_CLOSING}]*")
# A comma or colon counts only before white space: 1,000 and 10:30 and http://... stay whole.
_CLAUSE_END = re.compile(
    rf"[;:,؛،][{_CLOSING}]*(?=\s|$)|[；：，、]|[—―]|(?<=\s)[–-](?=\s)|[\n\r\v\f\u2028\u2029]+"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[/«“\"'-])(?:"
    # One letter ("J. R. Smith"), letters with dots between ("5 p.m.", "U.S.", "z.B.", "и т.д.")
    r"[^\W\d_]|(?:[^\W\d_]{1,2}\.\s?)+[^\W\d_]{1,2}|"
    r"mr|mrs|ms|dr|prof|st|sts|vs|no|nos|nr|fig|figs|ca|approx|etc|inc|ltd|co|corp|jr|sr|mt|ave|"
    r"blvd|vol|pp|cf|al|dept|capt|lt|sgt|rev|hon|feat|ft|incl|excl|tel|"
    r"jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec|"
    r"bzw|evtl|inkl|zzgl|usw|str|hl|jh|hr|mme|mlle|mgr|env|sra|srta|aprox|sig|dott|ecc|"
    r"bijv|blz|tzw|np|tzv|obr|kl|ул|им|др|гг|вул|ім|см|рис|"
    # Ordinals of German, Czech, Danish ...: "am 3. Oktober"
    r"\d{1,2}"
    r")$",
    re.IGNORECASE,
)
_LOOK_BACK = 12
"""Characters before a full stop in which an abbreviation begins."""
_SPACE = re.compile(r"\s+")
_LEAST = 0.5
"""A cut keeps at least this share of the allowed length; else a weaker boundary is used."""


def split_clauses(text: str) -> list[str]:
    """Split a text into pieces, each with its punctuation and the white space after it.

    The pieces joined are the text again. Boundaries lie after sentence ends, after ``; : ,``, after
    dashes between words and after line breaks, in Latin and CJK punctuation. An empty text has no
    pieces.
    """
    return _pieces(text, {*_ends(text, _SENTENCE_END), *_ends(text, _CLAUSE_END)})


def split_sentences(text: str) -> list[str]:
    """Split a text after its sentences only, as `split_clauses` does."""
    return _pieces(text, _ends(text, _SENTENCE_END))


def cut(text: str, max_chars: int) -> str:
    """The beginning of a text, at most `max_chars` characters long.

    It ends after the last sentence that fits, else after the last clause, else after the last word.
    White space and a separator at its end are removed. A word is cut only if it is longer than
    `max_chars` by itself, or its script has no spaces; then the cut is between two characters that
    do not combine. Raises ValueError for a negative length.
    """
    if max_chars < 0:
        raise ValueError(f"max_chars must be 0 or more, got {max_chars}")
    if len(text) <= max_chars:
        return text
    for pattern in (_SENTENCE_END, _CLAUSE_END):
        ends = takewhile(lambda end: _room(text, end) <= max_chars, _ends(text, pattern))
        end = max(ends, default=0)
        if _room(text, end) >= max_chars * _LEAST:
            return _trimmed(text[:end], pattern is _CLAUSE_END)
    end = max((space.start() for space in _SPACE.finditer(text[: max_chars + 1])), default=0)
    if text[:end].strip():
        return _trimmed(text[:end], True)
    return _between_characters(text, max_chars)


def _pieces(text: str, found: Iterable[int]) -> list[str]:
    ends = sorted({*found, len(text)} - {0})
    starts = [0, *ends[:-1]]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)] if text else []


def _ends(text: str, pattern: re.Pattern[str]) -> Iterator[int]:
    """Offset after each boundary and the white space behind it."""
    for match in pattern.finditer(text):
        start = match.start()
        if match[0] == "." and _ABBREVIATION.search(text, max(0, start - _LOOK_BACK), start):
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
