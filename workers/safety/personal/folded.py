"""Texts of all scripts in the characters that patterns are written in."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

Span = tuple[int, int]
"""The first character of a find in a text, and the first one after it."""

_DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d", "-")
_SPACES = dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000", " ")
_OWN = _DASHES | _SPACES


def folded(text: str) -> str:
    """The text with ASCII digits, dashes and wide characters. Its length stays the same."""
    if text.isascii():
        return text
    return "".join(map(_folded, text))


def _folded(character: str) -> str:
    if character.isascii():
        return character
    if (value := unicodedata.decimal(character, None)) is not None:
        return str(value)
    if character in _OWN:
        return _OWN[character]
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 else character


def merged(spans: Iterator[Span]) -> list[Span]:
    """The spans in their order, without those that begin inside an earlier one."""
    found: list[Span] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not found or start >= found[-1][1]:
            found.append((start, end))
    return found
