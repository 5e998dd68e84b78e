"""Finds phrases of a caption that can be left out, so that the rest is still a grammatical whole.

Sentences and trailing clauses are found in every language. Noun phrases are found in English, by
their determiners and a table of visual attributes: a tagger would need a model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kaption.workers.text.clauses import split_clauses, split_sentences

_ATTRIBUTES = {
    "size": "small/little/tiny/miniature large/big/huge/giant/enormous medium-sized",
    "colour": "red/crimson orange yellow/golden green blue purple/violet pink brown black white"
    " gray/grey beige/tan silver turquoise/teal",
    "surface": "plain/solid striped/stripy dotted/spotted/polka-dot checkered/chequered/checked"
    " glossy/shiny faded matte floral/flowery plaid/tartan",
    "material": "wooden/wood metal/metallic/steel plastic glass stone/concrete brick paper leather",
    "age": "old/ancient new/modern young",
}
ATTRIBUTES: Mapping[str, tuple[str, str]] = {
    word: (kind, group)
    for kind, groups in _ATTRIBUTES.items()
    for group in groups.split()
    for word in group.split("/")
}
"""For each word its kind and the words that mean the same. Two meanings of a kind exclude another.
"""
_DETERMINERS = "a an the one two three four five six seven eight nine ten several some many"
_PLACES = (
    "on in at under near by beside behind above below against over inside outside across among"
    " between with through underneath beneath atop"
)
_OTHERS = (
    "and or but of to from for as while that which who is are was were be has have had its his her"
    " their it they into onto next around during without than then there this these those"
)
_BEGINS, _PLACING = frozenset(_DETERMINERS.split()), frozenset(_PLACES.split())
_FUNCTION = _BEGINS | _PLACING | frozenset(_OTHERS.split())
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")  # noqa: RUF001 (models write that apostrophe)
_LISTING = re.compile(r",? and |, ")
_PLURAL = re.compile(r"\b(?:are|were|have|both)\b", re.IGNORECASE)
_AN = re.compile(r"(?:[aeiou]|hour|heir|honest)(?<!\bu(?=ni))", re.IGNORECASE)
_A = re.compile(r"uni|use|usu|eu|one\b|once", re.IGNORECASE)
_END = re.compile(r"(.*?)([.!?…。！？]*\s*)", re.DOTALL)  # noqa: RUF001 (CJK punctuation)
_SEPARATORS = ",;:，；：、—–-"  # noqa: RUF001 (CJK punctuation)


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """A determiner, attributes and what they belong to: "a", "large", "red", "fire truck"."""

    start: int
    end: int
    attributes: tuple[re.Match[str], ...]
    noun: str
    """The noun in lower case."""

    def meanings(self, kind: str) -> frozenset[str]:
        """What its attributes say of that kind."""
        said = (ATTRIBUTES[each[0].lower()] for each in self.attributes)
        return frozenset(group for its_kind, group in said if its_kind == kind)


def noun_phrases(text: str) -> list[NounPhrase]:
    """The noun phrases of an English text that begin with an article or a number, in order."""
    found: list[NounPhrase] = []
    run: list[re.Match[str]] = []
    for word in [*_WORD.finditer(text), None]:
        goes_on = (
            word
            and run
            and word[0].lower() not in _FUNCTION
            and not text[run[-1].end() : word.start()].strip()
        )
        if word and goes_on:
            run.append(word)
            continue
        if len(run) > 1:
            found.append(_noun_phrase(run))
        run = [word] if word and word[0].lower() in _BEGINS else []
    return found


def _noun_phrase(run: Sequence[re.Match[str]]) -> NounPhrase:
    rest = list(run[1:])
    attributes = []
    while len(rest) > 1 and rest[0][0].lower() in ATTRIBUTES:
        attributes.append(rest.pop(0))
    noun = " ".join(word[0].lower() for word in rest)
    return NounPhrase(run[0].start(), run[-1].end(), tuple(attributes), noun)


def without_attribute(text: str, phrase: NounPhrase, word: re.Match[str]) -> str:
    """The text without one attribute of a noun phrase. "an" becomes "a" where it must."""
    rest = text[word.end() :].lstrip()
    before = text[: word.start()]
    article = before[phrase.start :].strip()
    if article.lower() in ("a", "an"):
        right = "an" if _AN.match(rest) and not _A.match(rest) else "a"
        before = f"{before[: phrase.start]}{article[0]}{right[1:]} "
    return before + rest


def without_phrase(text: str, phrases: Sequence[NounPhrase], at: int) -> str | None:
    """The text without a noun phrase of a list, or that says a place at the end; else None.

    A list of two becomes one phrase, which a verb in the plural would not fit: then None.
    """
    first = last = at
    while first and _LISTING.fullmatch(text, phrases[first - 1].end, phrases[first].start):
        first -= 1
    while last + 1 < len(phrases) and _LISTING.fullmatch(
        text, phrases[last].end, phrases[last + 1].start
    ):
        last += 1
    if first == last:
        return _without_place(text, phrases[at])
    listed = phrases[first : last + 1]
    kept = [text[p.start : p.end] for n, p in enumerate(listed, first) if n != at]
    alone = len(kept) == 1
    if alone and (" " in listed[-1].noun or _PLURAL.search(text)):
        return None
    named = kept[0] if alone else f"{', '.join(kept[:-1])} and {kept[-1]}"
    start = listed[0].start
    if text[start].isupper():
        named = named[0].upper() + named[1:]
    return text[:start] + named + text[listed[-1].end :]


def _without_place(text: str, phrase: NounPhrase) -> str | None:
    """The text without a place such as "on a road" at its end."""
    before = [*_WORD.finditer(text[: phrase.start])]
    if len(before) < 3 or before[-1][0].lower() not in _PLACING:
        return None
    tail = text[phrase.end :]
    if tail.strip(" .!") or text[before[-1].end() : phrase.start].strip():
        return None
    return text[: before[-1].start()].rstrip(" ,") + tail


def shorter(text: str) -> Iterator[tuple[str, str]]:
    """Each sentence, trailing clause and noun phrase that can be left out, and the text without."""
    sentences = split_sentences(text)
    phrases = noun_phrases(text)
    listed = any(_LISTING.fullmatch(text, a.end, b.start) for a, b in pairwise(phrases))
    for at, sentence in enumerate(sentences):
        before, after = "".join(sentences[:at]), "".join(sentences[at + 1 :])
        if len(sentences) > 1:
            yield sentence.strip(), (before + after).strip()
        *clauses, last = split_clauses(sentence)
        if clauses and not listed:
            said, end = _END.fullmatch(last).groups()  # type: ignore[union-attr]  # it matches all
            yield said, before + "".join(clauses).rstrip().rstrip(_SEPARATORS) + end + after
    for at, phrase in enumerate(phrases):
        if rest := without_phrase(text, phrases, at):
            yield text[phrase.start : phrase.end], rest
