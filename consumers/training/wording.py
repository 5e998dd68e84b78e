"""Words of a text that a changed image would make false: sides, letters, colours."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import cache
from importlib.resources import files

_EDGE_LEFT, _EDGE_RIGHT = r"(?<![^\W_])", r"(?![^\W_])"  # in file names _ separates words
_LETTERS = r"[^\W_]*"
_QUOTED = re.compile('["\u201c-\u201f\u00ab\u00bb\u2039\u203a]')
_BEYOND_LATIN = re.compile(r"(?![\u0000-\u024f\u1e00-\u1eff])[^\W\d_]")


def says_side(text: str) -> bool:
    """Return whether the text names left or right, which is false of the mirror image."""
    return _pattern("sides").search(_folded(text)) is not None


def says_one_way(text: str) -> bool:
    """Return whether the text names or quotes what a mirror makes wrong: letters, dials, flags."""
    folded = _folded(text)
    return _QUOTED.search(folded) is not None or _pattern("one_way").search(folded) is not None


def says_colour(text: str) -> bool:
    """Return whether the text names a colour, or how light or dark something is."""
    return _pattern("colours").search(_folded(text)) is not None


def covered(text: str, language: str | None) -> bool:
    """Return whether the word lists can tell what the text says. If not, no change is safe.

    A text is not covered if it has a letter outside the Latin script, in which all lists are, or if
    its `language` (BCP 47, of which only the language counts) is known and has no list.
    """
    if language is not None and language.partition("-")[0].lower() not in _lists():
        return False
    return _BEYOND_LATIN.search(unicodedata.normalize("NFKC", text)) is None


@cache
def _lists() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(
        files("kaption.consumers.training").joinpath("wording.toml").read_text("utf-8")
    )


@cache
def _pattern(kind: str) -> re.Pattern[str]:
    entries = sorted({_folded(entry) for lists in _lists().values() for entry in lists[kind]})
    anyone = "|".join(
        re.escape(entry).replace(r"\*", _LETTERS).replace(r"\ ", r"\s+") for entry in entries
    )
    return re.compile(f"{_EDGE_LEFT}(?:{anyone}){_EDGE_RIGHT}")


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
