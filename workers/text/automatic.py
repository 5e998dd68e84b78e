"""Removes what social networks and Office put around automatic texts: "May be an image of"."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_ORIGIN = r"(?:(?:photo|video)(?: shared)? by .{1,200}?\.\s+)?"
"""Instagram's first sentence. It is English, whatever the language of the rest."""
_DATED = (
    r"(?:photo|video)(?: shared)? by .{1,200}? on \w{3,9} \d{1,2}, \d{4}"
    r"(?: tagging (?:(?:, and |, | and |,)?@\w[\w.]*)+)?"
)
"""The same without a description."""
_CONFIDENCE = r"(?:\s(?:with|mit|avec|con|com|met)\s[^.]{3,40}(?=\W*\Z))?"
_END = r"(?=\W*\Z|[.!?]\s|\u3002)"
_ENDS = ".\u3002"
_DESCRIPTION = "\u2026"


class _Forms(NamedTuple):
    alone: re.Pattern[str]
    around: tuple[re.Pattern[str], ...]
    before: re.Pattern[str]
    behind: re.Pattern[str]


def without_automatic(text: str) -> str:
    """The text without what stands around it; empty where it says that there is no description."""
    forms = _forms()
    if forms.alone.fullmatch(text):
        return ""
    for form in forms.around:
        if found := form.match(text):
            return found[1] + text[found.end() :]
    if found := forms.before.match(text):
        return text[found.end() :]
    if found := forms.behind.search(text):
        before, after = text[: found.start()].rstrip(), text[found.end() :]
        return before + (after.lstrip(_ENDS) if before.endswith(tuple(_ENDS)) else after)
    return text


@cache
def _forms() -> _Forms:
    table: dict[str, list[str]] = tomllib.loads(
        files("kaption.workers.text").joinpath("automatic.toml").read_text("utf-8")
    )
    split = [form.partition(_DESCRIPTION) for each in table.values() for form in each]
    alone = [_words(lead) for lead, mark, _ in split if not mark]
    around = [(_words(lead), _words(tail)) for lead, _, tail in split if lead and tail]
    before = [_words(lead) for lead, mark, tail in split if mark and not tail]
    behind = [_words(tail.lstrip()) for lead, _, tail in split if not lead]

    def compiled(form: str) -> re.Pattern[str]:
        return re.compile(form, re.IGNORECASE | re.DOTALL)

    opening = rf"\W*+{_ORIGIN}"
    return _Forms(
        alone=compiled(rf"{opening}(?:{'|'.join([*alone, _DATED])})\W*"),
        around=tuple(
            compiled(rf"{opening}{lead}(.{{1,2000}}?){tail}{_END}") for lead, tail in around
        ),
        before=compiled(rf"{opening}(?:{'|'.join(before)})"),
        behind=compiled(rf"\s?(?:{'|'.join(behind)}){_CONFIDENCE}{_END}"),
    )


def _words(form: str) -> str:
    """A pattern of a part of a form: any spaces and apostrophes, and a colon of any width."""
    words = re.escape(form.rstrip()).replace(r"\ ", r"\s+").replace("'", "['\u2019]")
    if words.endswith(":"):
        return rf"{words[:-1]}\s*[:\uff1a]\s*"
    return rf"{words}(?:\s+|\W*\Z)" if form.endswith(" ") else words
