"""Puts lines of text that OCR found in an image in the order in which people read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import combinations
from statistics import mean, median
from typing import NamedTuple

from kaption.schemas import OcrText
from kaption.workers.text.scripts import scripts_of

_GUTTER, _WORD_GUTTER = 0.5, 1.5
"""Least width of the space between two columns, in letters; the second one where the lines are
mostly single words, because the space between two words is about one letter wide."""
_STACKED = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"})
"""Scripts that are written from top to bottom, too; columns then follow from right to left."""
_LEFTWARD = frozenset({"ARABIC", "HEBREW", "SYRIAC", "THAANA", "NKO"})
_CUTS = 24
"""With more spaces between lines, only blocks at the top or the bottom are looked at: the time
grows with the square."""
_HYPHEN = re.compile("(?:(?<=[^\\W\\d_])|(?<=\\d))[-\u2010\u00ad]\\Z")
_COMPOUNDS = frozenset({"all", "cross", "ex", "half", "high", "low", "mid", "self", "well"})
"""Words before a hyphen that belongs to the spelling: "well-known"."""
_JOINED = frozenset({"and", "bzw", "en", "et", "och", "og", "oder", "or", "ou", "to", "und", "y"})
"""Words after the hyphen of an omitted part: "Vor- und Nachname"."""


class _LinePlace(NamedTuple):
    """A line and its box, turned so that people read from left to right, then downwards."""

    line: OcrText
    left: float
    top: float
    right: float
    bottom: float


def in_reading_order(lines: Sequence[OcrText]) -> tuple[OcrText, ...]:
    """The lines ordered by their boxes, column by column, each from top to bottom.

    Most lines decide the direction: Arabic and Hebrew are read from right to left, and tall boxes
    of Chinese, Japanese or Korean as vertical columns from right to left. Columns whose cells are
    numbers or follow a colon are a table, which is read row by row. The lines keep their order
    where one has no box; else the order in which they are given does not matter.
    """
    if len(lines) < 2 or any(line.box is None for line in lines):
        return tuple(lines)
    # Sorts below keep the order of what is as high or as far left: it must not be OCR's.
    lines = sorted(lines, key=lambda line: (*_place(line)[1:], line.text))
    tall = [line for line in lines if _is_tall(line)]
    if _most(lines, tall):
        return _stacked(tall, [line for line in lines if not _is_tall(line)])
    leftward = _most(lines, [line for line in lines if scripts_of(line.text) & _LEFTWARD])
    places = [_place(line) for line in lines]
    if leftward:
        places = [it._replace(left=1 - it.right, right=1 - it.left) for it in places]
    return tuple(place.line for place in _ordered(places))


def joined(texts: Iterable[str]) -> str:
    """One text of lines in reading order: words that a hyphen divides at a line's end are whole.

    A hyphen before a capital letter or a digit, or after a single letter, is part of a name or a
    compound and stays: "Jean-Paul", "2019-2020", "T-shirt".
    """
    whole = ""
    for text in (" ".join(each.split()) for each in texts):
        if whole and text and _HYPHEN.search(whole):
            whole = _with_hyphen(whole, text)
        else:
            whole = f"{whole} {text}".strip()
    return whole


def _with_hyphen(whole: str, text: str) -> str:
    part, following = whole.rsplit(maxsplit=1)[-1][:-1], text.split(maxsplit=1)[0]
    if whole[-1] == "\u00ad":
        return whole[:-1] + text
    if following.lower() in _JOINED:
        return f"{whole} {text}"
    compound = "-" in part or len(part) < 2 or part.lower() in _COMPOUNDS or part[-1].isdigit()
    return whole + text if compound or not text[0].islower() else whole[:-1] + text


def _most(lines: Sequence[OcrText], part: Sequence[OcrText]) -> bool:
    return 2 * sum(len(line.text) for line in part) > sum(len(line.text) for line in lines)


def _is_tall(line: OcrText) -> bool:
    """Coordinates are fractions, so the image's ratio is unknown: one letter tells nothing."""
    box = line.box
    assert box is not None
    tall = box.bottom - box.top > box.right - box.left
    return tall and len(line.text) > 1 and bool(scripts_of(line.text) & _STACKED)


def _stacked(tall: Sequence[OcrText], wide: Sequence[OcrText]) -> tuple[OcrText, ...]:
    """Vertical columns from right to left, after the wide lines above them and before the rest."""
    turned = [
        it._replace(left=it.top, top=1 - it.right, right=it.bottom, bottom=1 - it.left)
        for it in map(_place, tall)
    ]
    middle = mean(place.left + place.right for place in turned)
    places = [_place(line) for line in wide]
    above = [place for place in places if place.top + place.bottom < middle]
    below = [place for place in places if place.top + place.bottom >= middle]
    return tuple(it.line for part in (above, turned, below) for it in _ordered(part))


def _place(line: OcrText) -> _LinePlace:
    box = line.box
    assert box is not None
    return _LinePlace(line, box.left, box.top, box.right, box.bottom)


def _ordered(places: Sequence[_LinePlace]) -> list[_LinePlace]:
    """Split at the space between columns; else around the largest block that has columns."""
    if sides := _columns(places):
        return [*_ordered(sides[0]), *_ordered(sides[1])]
    by_top = sorted(places, key=lambda place: place.top)
    cuts, lowest = [0], 0.0
    for at, place in enumerate(by_top):
        if at and place.top >= lowest:
            cuts.append(at)
        lowest = max(lowest, place.bottom)
    cuts.append(len(by_top))
    blocks = [
        (start, end)
        for start, end in combinations(cuts, 2)
        if len(cuts) <= _CUTS or start == 0 or end == cuts[-1]
    ]
    for start, end in sorted(blocks, key=lambda block: block[0] - block[1])[1:]:
        if _columns(by_top[start:end]):
            parts = by_top[:start], by_top[start:end], by_top[end:]
            return [place for part in parts for place in _ordered(part)]
    return _rows(places)


def _columns(places: Sequence[_LinePlace]) -> tuple[list[_LinePlace], list[_LinePlace]] | None:
    """The lines on both sides of the first space between columns of two or more lines."""
    if len(places) < 4:
        return None
    by_left = sorted(places, key=lambda place: place.left)
    letter = median((it.right - it.left) / max(1, len(it.line.text)) for it in places)
    words = 2 * sum(" " not in it.line.text.strip() for it in places) > len(places)
    gutter = letter * (_WORD_GUTTER if words else _GUTTER)
    end = by_left[0].right
    for at, place in enumerate(by_left):
        if place.left - end > gutter:
            sides = by_left[:at], by_left[at:]
            if all(len(_rows_of(side)) > 1 for side in sides) and not any(map(_is_table, sides)):
                return sides
        end = max(end, place.right)
    return None


def _is_table(side: Sequence[_LinePlace]) -> bool:
    texts = [place.line.text.strip() for place in side]
    return 2 * sum(text.endswith((":", "\uff1a")) or _is_number(text) for text in texts) > len(side)


def _is_number(text: str) -> bool:
    letters = sum(map(str.isalpha, text))
    return sum(map(str.isdigit, text)) >= max(1, letters)


def _rows(places: Sequence[_LinePlace]) -> list[_LinePlace]:
    return [
        place for row in _rows_of(places) for place in sorted(row, key=lambda place: place.left)
    ]


def _rows_of(places: Sequence[_LinePlace]) -> list[list[_LinePlace]]:
    """Lines whose middle lies beside the mean middle of a row, within half a line's height."""
    rows: list[list[_LinePlace]] = []
    for place in sorted(places, key=_middle):
        height = place.bottom - place.top
        if rows:
            lower = min(height, mean(it.bottom - it.top for it in rows[-1]))
            if _middle(place) - mean(map(_middle, rows[-1])) <= lower / 2:
                rows[-1].append(place)
                continue
        rows.append([place])
    return rows


def _middle(place: _LinePlace) -> float:
    return (place.top + place.bottom) / 2
