# ruff: noqa: RUF001  # typographic and CJK punctuation is what pages write
"""Tells short texts of a page about itself from descriptions: "Click image to zoom", "暂无照片"."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import NamedTuple

_KINDS = ("acts", "missing", "things")
_MOST_CHARS = 120
_MOST_WORDS = 14
_EDGES = re.compile(r"[\s\u200c.,:;!?…'’‘\"“”«»()\[\]{}<>|/\\*_+>»›→•·–—-]+")
_SPACELESS = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
_GAP = r"[\s、。，．：！？…・「」（）()!?.,:-]*"


_Languages = dict[str, set[str]]
"""The languages of each word."""


class _Spaceless(NamedTuple):
    """Patterns of one language without spaces."""

    words: re.Pattern[str]
    """A whole text of its words."""
    acting: re.Pattern[str]
    missing: re.Pattern[str]
    things: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class _PageWords:
    known: _Languages
    acting: _Languages
    missing: _Languages
    things: _Languages
    spaceless: tuple[_Spaceless, ...]


def is_page_text(text: str, *, whole: bool = True) -> bool:
    """Whether a text of two words or more is about the page and shows nothing.

    A part of a text (not `whole`) must name an act: "a poster, no text" is a description. A whole
    one may say that a thing is missing: "no photo", but not "no more".
    """
    if len(text) > _MOST_CHARS:
        return False
    table = _page_words()
    if _SPACELESS.search(text):
        core = text.strip()
        return any(
            each.words.fullmatch(core)
            and (
                _is_told(each.acting, core)
                or (whole and each.things.search(core) and _is_told(each.missing, core))
            )
            for each in table.spaceless
        )
    words = [each for each in _EDGES.split(_folded(text)) if each]
    if len(set(words)) < 2 or len(words) > _MOST_WORDS:
        return False
    languages = set.intersection(*(table.known.get(each, set()) for each in words))

    def has(kind: _Languages) -> bool:
        return any(not languages.isdisjoint(kind.get(each, ())) for each in words)

    return has(table.acting) or (whole and has(table.missing) and has(table.things))


def _is_told(telling: re.Pattern[str], text: str) -> bool:
    """Whether there are words besides the telling one: "はなし" is a story, not "no は"."""
    found = telling.search(text)
    if found is None:
        return False
    rest = re.sub(_GAP, "", text[: found.start()] + text[found.end() :])
    return len(rest) > 1


def _folded(text: str) -> str:
    # Of the Turkish letters the capital with a dot becomes two characters, and both others an i.
    return text.casefold().replace("i\u0307", "i").replace("\u0131", "i")


@cache
def _page_words() -> _PageWords:
    table = tomllib.loads(
        files("kaption.workers.text").joinpath("page_words.toml").read_text("utf-8")
    )
    shared = set(table.pop("all")["words"].split())
    found: dict[str, _Languages] = {kind: {} for kind in ("known", *_KINDS)}
    spaceless = []
    for language, given in table.items():
        kinds = {kind: given[kind].split() for kind in _KINDS}
        words = {*chain.from_iterable(kinds.values()), *given["words"].split(), *shared}
        if _SPACELESS.match(kinds["acts"][0]):
            whole = re.compile(f"(?:{_GAP}(?:{_any_of(words)}))++{_GAP}", re.IGNORECASE)
            parts = (re.compile(_any_of(kinds[kind])) for kind in _KINDS)
            spaceless.append(_Spaceless(whole, *parts))
            continue
        for kind, each in (("known", words), *kinds.items()):
            for part in chain.from_iterable(_EDGES.split(_folded(word)) for word in each):
                found[kind].setdefault(part, set()).add(language)
    return _PageWords(
        found["known"], found["acts"], found["missing"], found["things"], tuple(spaceless)
    )


def _any_of(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
