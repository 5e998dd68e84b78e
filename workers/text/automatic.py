"""Removes what social networks put around their automatic alt texts: "May be an image of"."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

_ORIGIN = r"(?:(?:photo|video)(?: shared)? by .{1,200}?\.\s+)?"
"""Instagram's first sentence. It is English, whatever the language of the rest."""
_END = r"(?=\W*\Z|[.!?]\s|\u3002)"
_DATED = (
    r"(?:photo|video)(?: shared)? by .{1,200}? on \w{3,9} \d{1,2}, \d{4}(?: tagging @[\w.,@ ]+)?"
)
"""The same without a description."""
_DESCRIPTION = "\u2026"


def without_automatic(text: str) -> str:
    """The text without an automatic lead-in; empty where it says that there is no description."""
    for form in _forms():
        if found := form.match(text):
            return f"{found['text'] or ''}{text[found.end() :]}"
    return text


@cache
def _forms() -> tuple[re.Pattern[str], ...]:
    table: dict[str, list[str]] = tomllib.loads(
        files("kaption.workers.text").joinpath("automatic.toml").read_text("utf-8")
    )
    forms = [form for each in table.values() for form in each]
    around = [each.split(_DESCRIPTION) for each in forms]
    before = [_words(lead) for lead, *tail in around if tail == [""]]
    alone = [_words(each) for each, *tail in around if not tail]
    both = [(_words(lead), _words(tail[0])) for lead, *tail in around if tail and tail[0]]
    return tuple(
        re.compile(rf"\W*+{_ORIGIN}{form}", re.IGNORECASE | re.DOTALL)
        for form in (
            rf"(?P<text>)(?:{'|'.join([*alone, _DATED])})\W*\Z",
            *(rf"{lead}(?P<text>.{{1,2000}}?){tail}{_END}" for lead, tail in both),
            rf"(?P<text>)(?:{'|'.join(before)})",
        )
    )


def _words(form: str) -> str:
    """A pattern of a part of a form: any spaces and apostrophes, and a colon of any width."""
    words = re.escape(form.rstrip()).replace(r"\ ", r"\s+").replace("'", "['\u2019]")
    if words.endswith(":"):
        return rf"{words[:-1]}\s*[:\uff1a]\s*"
    return rf"{words}(?:\s+|\W*\Z)" if form.endswith(" ") else words
