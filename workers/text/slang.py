"""Slang and typos to plain words, from a table per language."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache, partial
from importlib.resources import files

# Not inside #tags, @names, paths, numbers with units or names with dots and hyphens.
_TOKEN = re.compile(r"(?<![\w@#/&.'\u2019-])\w(?:[\w&-]*\w)?(?:/\w?)?(?![\w@/&'\u2019-])(?!\.\w)")
_SHORT = 2
"""Up to this length a dot after it makes an abbreviation ("Stuhl u. Tisch")."""


def replace_slang(text: str, language: str | None = None) -> str:
    """The text with its slang replaced, case kept; an unknown language gets the safe entries only.

    `language` is a BCP 47 tag; its primary subtag picks the table.
    """
    table = _table(language.split("-")[0].lower() if language else "any")
    return _TOKEN.sub(partial(_replacement, table), text) if table else text


def _replacement(table: Mapping[str, tuple[str, bool]], match: re.Match[str]) -> str:
    word = match[0]
    plain, lower_only = table.get(word.lower(), (word, False))
    if lower_only and not word.islower():
        return word
    if len(word) <= _SHORT and match.string[match.end() : match.end() + 1] == ".":
        return word
    if plain == word or word.islower() or not plain.islower():
        return plain
    if word.isupper() and word.isalpha() and len(word) > 1:
        return plain.upper()
    return plain[0].upper() + plain[1:] if word[0].isupper() else plain


@cache
def _table(language: str) -> dict[str, tuple[str, bool]]:
    """Entry -> (replacement, only in lower case)."""
    tables = _tables()
    sections = ("any", "en") if language == "en" else (language,)
    table: dict[str, tuple[str, bool]] = {}
    for section in sections:
        table |= {word: (plain, False) for word, plain in tables.get(section, {}).items()}
        table |= {word: (plain, True) for word, plain in tables.get(f"{section}_lower", {}).items()}
    return table


@cache
def _tables() -> dict[str, dict[str, str]]:
    return tomllib.loads(files("kaption.workers.text").joinpath("slang.toml").read_text("utf-8"))
