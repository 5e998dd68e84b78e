"""Refuses captions of models that loop: "a red car a red car a red car"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kaption.schemas import Caption, CheckResult
from kaption.workers.checks.check import GENERATED
from kaption.workers.checks.words import words
from kaption.workers.text.clauses import split_sentences

_GRAM = 3
_MOST = 0.5
"""Largest share of repeated 3-grams."""
_COPIES = 3
"""Copies of a phrase, one after the other, that make a loop."""
_LETTERS = 4
"""Repetitions of a single letter that are too many, in a script without spaces. There many words
double a letter."""
_LONG, _LONG_SPACELESS = 4, 6
"""Words, or letters of a script without spaces, that loop if they come twice in succession."""
_TWICE = 0.25
"""Share of the words that may lie in sentences which say what another one said."""
_CHARACTERS = re.compile(r"([^\W\d_])\1{5,}|([^\W\d_]{2,6}?)\2{3,}|([^\w\s.])\3{7,}", re.IGNORECASE)
"""Within a word: a letter six times, a syllable four times; and a sign eight times."""
_LITTLE = (
    "a an the and or of in on at to with by is are was were be been it its there this that these"
    " those here which who has have as for from into also can seen shown image picture photo"
)
_SAYING_LITTLE = frozenset(_LITTLE.split())


class RepetitionCheck:
    """Passes texts whose share of repeated 3-grams is at most a half; the value is that share.

    Captions of models must not repeat a phrase, a letter or a sentence either. People do so on
    purpose, as in the names of songs.
    """

    name = "repetition"

    def check(self, caption: Caption) -> CheckResult:
        """Look for what is said more than once."""
        found = words(caption.text)
        grams = [tuple(found[at : at + _GRAM]) for at in range(len(found) - _GRAM + 1)]
        share = 1 - len(set(grams)) / len(grams) if grams else 0.0
        detail = f"{share:.0%} of the 3-grams are repeated" if share > _MOST else ""
        if not detail and caption.kind in GENERATED:
            detail = _loop(found) or _letters(caption.text) or _sentences(caption.text)
        return CheckResult(name=self.name, passed=not detail, value=share, detail=detail)


def _loop(found: Sequence[str]) -> str:
    """A phrase that comes again at once, and again."""
    for size in range(1, len(found) // 2 + 1):
        same = 0
        for at in range(size, len(found)):
            same = same + 1 if found[at] == found[at - size] else 0
            phrase = found[at - size + 1 : at + 1]
            spaceless = all(len(word) == 1 and not word.isascii() for word in phrase)
            few = _LETTERS if size == 1 and spaceless else _COPIES
            long = size >= (_LONG_SPACELESS if spaceless else _LONG)
            lettered = any(map(str.isalpha, "".join(phrase)))
            if same >= size * (1 if long else few - 1) and lettered:
                return f"{('' if spaceless else ' ').join(phrase)!r} is repeated"
    return ""


def _letters(text: str) -> str:
    found = _CHARACTERS.search(text)
    return f"{found[0][:20]!r} is repeated" if found else ""


def _sentences(text: str) -> str:
    """Sentences that have the same words as an earlier one, in any order."""
    said: set[frozenset[str]] = set()
    total = again = 0
    for sentence in split_sentences(text):
        found = words(sentence)
        meant = frozenset(found) - _SAYING_LITTLE
        total += len(found)
        if meant and len(found) >= _GRAM and meant in said:
            again += len(found)
        said.add(meant)
    return "a sentence is said again" if total and again / total >= _TWICE else ""


build = RepetitionCheck
