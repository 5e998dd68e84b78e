"""Names, numbers and places that a page's alt text tells: the scorer knows nothing about them.

A fused caption takes them from the page. To the scorer "by Rosa, in Oslo" adds nothing: it would
take the captions with and without it for the same one, and prefer the one without.
"""

from __future__ import annotations

import re

from kaption.workers.stages.select.phrases import ATTRIBUTES

_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")  # noqa: RUF001 (an apostrophe of pages)
_TITLE_WORDS = 5
"""A text of so many words that all begin with a capital is a title."""


def names_in(alt_text: str) -> frozenset[str]:
    """Words with a digit or a capital letter, in lower case. Capitals of a title say nothing."""
    words = _WORD.findall(alt_text)
    numbers = {word for word in words if any(map(str.isdigit, word))}
    capital = {word for word in words if word[0].isupper()} - numbers
    if len(words) >= _TITLE_WORDS and capital | numbers == set(words):
        capital = set()
    names = numbers | {word for word in capital if len(word) > 1}
    return frozenset(word.casefold() for word in names) - ATTRIBUTES.keys()


def told(text: str, names: frozenset[str]) -> frozenset[str]:
    """The names among these that the text tells."""
    return names & {word.casefold() for word in _WORD.findall(text)} if names else names
