"""English nouns of tags and labels: case, plural, article, synonyms, and which is a kind of which.

Plurals and articles are those of the library inflect. WordNet is not used: no package holds its
data, and it has neither dogs among pets nor roses among flowers.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import inflect

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def distinct(tags: Sequence[str]) -> list[str]:
    """The tags without those that another one says as well or better.

    ``["Dog", "animal", "pet", "dogs"]`` is ``["dog"]``: a plural beside its singular, a synonym and
    a word for the kind of a thing are dropped, and so is the last word of a longer tag ("red car,
    car"). The first of equal tags gives the place. Names keep their capital letters.
    """
    names = [in_case(tag) for tag in tags]
    plurals = {_plural(name.lower()): name.lower() for name in names}
    kept: dict[str, str] = {}
    for name in names:
        single = plurals.get(name.lower(), _singular(name.lower()))
        key = _table().first.get(single, single)
        if key not in kept or (kept[key].lower() in plurals and name.lower() == single):
            kept[key] = name
    wider = {kind for key in kept for kind in _wider(key)}
    return [name for key, name in kept.items() if key not in wider]


def in_case(tag: str) -> str:
    """Taggers write "Dog" and "PALM TREE"; a word that the table does not know may be a name."""
    lower = tag.lower()
    return _table().spelling.get(lower, lower) if lower in _table().singular else tag


def with_article(name: str) -> str:
    """``a dog``, ``an owl``; as it is for a plural, a mass ("grass"), a name or an unknown word."""
    known = not {name.lower(), _head(name)}.isdisjoint(_table().singular.values())
    return _one(name) if known and name == in_case(name.lower()) else name


def counted(name: str, count: int) -> str:
    """``a dog``, ``two dogs``, ``12 cars``; ``scissors``, ``two pairs of scissors``; ``grass``."""
    if count == 1 or _is_mass(name):
        return _one(name)
    number = _NUMBERS[count] if count < len(_NUMBERS) else str(count)
    if _head(name).lower() in _table().pairs:
        return f"{number} pairs of {name}"
    return f"{number} {name if _is_plural(name) else _plural(name)}"


class _Table:
    """nouns.toml, whose words are in lower case."""

    def __init__(self) -> None:
        text = files("kaption.workers.captioners").joinpath("nouns.toml").read_text("utf-8")
        self.spelling = {word.lower(): word for word in ("TV", "SUV")}
        table = tomllib.loads(text)
        self.mass, self.pairs = set(_words(table["mass"])), set(_words(table["pairs"]))
        self.first = {word: _words(each)[0] for each in table["synonyms"] for word in _words(each)}
        """The first word of a group of synonyms, by each word of the group."""
        self.kinds: dict[str, set[str]] = {}
        """The words for the kind of a word, by the word or the first of its synonyms."""
        for kind, words in table["kinds"].items():
            for word in _words(words):
                kinds = self.kinds.setdefault(self.first.get(word, word), set())
                kinds.add(self.first.get(kind, kind))
        known = {*self.first, *self.kinds, *table["kinds"], *self.mass, *self.pairs}
        countable = sorted(known - self.mass - self.pairs)
        self.singular: dict[str, str] = {_plural(word): word for word in countable}
        self.singular |= {word: word for word in known}
        """The singular of a word, by the word and by its plural."""


def _words(text: str) -> list[str]:
    return [word.replace("_", " ") for word in text.split()]


@cache
def _table() -> _Table:
    return _Table()


@cache
def _inflect() -> inflect.engine:
    import inflect

    engine = inflect.engine()
    engine.defan("SUV")
    return engine


def _singular(name: str) -> str:
    """A name in lower case with its last word in the singular, if the table knows it."""
    head, space, last = name.rpartition(" ")
    singular = _table().singular
    return singular.get(name) or head + space + singular.get(last, last)


def _wider(key: str) -> set[str]:
    """All words for the kinds of a thing; for a name of several words that is not in the table, its
    last word and the kinds of that: "wooden chair" is a chair, but "hot dog" is no dog.
    """
    table, found = _table(), set[str]()
    last = key.rpartition(" ")[2]
    ways = [key] if key in table.kinds or last == key else [table.first.get(last, last)]
    found |= set(ways) - {key}
    while ways:
        new = table.kinds.get(ways.pop(), set()) - found
        found |= new
        ways += new
    return found


def _head(name: str) -> str:
    """The word that says what a thing is: "cup" of "a red cup of tea"."""
    return name.partition(" of ")[0].rpartition(" ")[2]


def _one(name: str) -> str:
    return name if _is_mass(name) or _is_plural(name) else str(_inflect().a(name))


def _is_mass(name: str) -> bool:
    return not {name.lower(), _head(name).lower()}.isdisjoint(_table().mass)


def _is_plural(name: str) -> bool:
    last = _head(name).lower()
    return last in _table().pairs or _table().singular.get(last, last) != last


@lru_cache(4096)
def _plural(name: str) -> str:
    return str(_inflect().plural_noun(name)) if name else name
