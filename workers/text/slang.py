"""Replaces slang and typos by plain words, from one table for each language."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache, partial
from importlib.resources import files

# Whole words, but none inside #tags, @names, paths, numbers with units, or names with dots or
# hyphens.
_TOKEN = re.compile(r"(?<![\w@#/&.'\u2019-])\w(?:[\w&-]*\w)?(?:/\w?)?(?![\w@/&'\u2019-])(?!\.\w)")
_ENGLISH = re.compile(r"\b(?:the|of|with|this|your?|from|their|our)\b|\bw/", re.IGNORECASE)
_NAMED = re.compile(
    r"\b(?:letters?|vitamin|vowel|character|type|grade|size|named)\W+$", re.IGNORECASE
)
_SHORT = 2
"""A word of up to this length before a dot is an abbreviation ("Stuhl u. Tisch"), and stays."""


def replace_slang(text: str, language: str | None = None) -> str:
    """Replace slang and keep the case.

    `language` is a BCP 47 tag; its primary subtag picks the table. Without one, only entries are
    used that are no word of any large language, unless the text has an English word.
    """
    name = "any_english" if _ENGLISH.search(text) else "any"
    table = _table(language.split("-")[0].lower() if language else name)
    return _TOKEN.sub(partial(_replacement, table), text) if table else text


def _replacement(table: Mapping[str, tuple[str, bool]], match: re.Match[str]) -> str:
    word = match[0]
    plain, lower_only = table.get(word.lower(), (word, False))
    if lower_only and not word.islower():
        return word
    if len(word) <= _SHORT and match.string[match.end() : match.end() + 1] == ".":
        return word
    if len(word) == 1 and _NAMED.search(match.string, max(0, match.start() - 12), match.start()):
        return word
    if plain == word or word.islower() or not plain.islower():
        return plain
    if word.isupper() and word.isalpha() and len(word) > 1:
        return plain.upper()
    return plain[0].upper() + plain[1:] if word[0].isupper() else plain


@cache
def _table(language: str) -> dict[str, tuple[str, bool]]:
    """By entry: its replacement, and whether it is replaced in lower case only."""
    tables = _tables()
    english = {"en": ("any", "any_english", "en"), "any_english": ("any", "any_english")}
    sections = english.get(language, (language,))
    table: dict[str, tuple[str, bool]] = {}
    for section in sections:
        table |= {word: (plain, False) for word, plain in tables.get(section, {}).items()}
        table |= {word: (plain, True) for word, plain in tables.get(f"{section}_lower", {}).items()}
    return table


@cache
def _tables() -> dict[str, dict[str, str]]:
    return tomllib.loads(files("kaption.workers.text").joinpath("slang.toml").read_text("utf-8"))
