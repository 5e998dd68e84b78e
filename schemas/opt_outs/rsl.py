"""Really Simple Licensing (RSL 1.0, rslstandard.org): documents of terms for the use by AI.

A robots.txt, a header or a page names such a document. It may lie on another server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple
from xml.parsers import expat  # a document type is refused, so there are no entities

from kaption.schemas.evidence import OptOutSignal
from kaption.schemas.opt_outs.directives import Fields, signal
from kaption.schemas.opt_outs.tdm_rep import matches, path_of, pattern_of

RSL = "rsl_licence"
"""The kind of a signal that comes of a licence's text."""
RSL_UNREAD = "rsl_licence_unread"
"""The kind of a signal that comes of a licence that is named and was not read."""
RSL_TYPE = "application/rsl+xml"
LICENCES = 4
"""Most licences of one place that are read. A place has one."""
# By letters alone: ai-train, and other spellings.
_TRAINING = frozenset(
    ["all", "aiall", "ai", "genai", "aitrain", "trainai", "aitraining", "train", "training", "tdm"]
)
# Terms that need no contract. `contribution` is a wish.
_FREE = frozenset({"free", "attribution", "contribution"})
_LINK = re.compile(r"\s*<([^<>]*)>(.*)", re.DOTALL)
_NEXT_LINK = re.compile(r",\s*(?=<)")


class _Terms(NamedTuple):
    location: str
    refused: str | None
    """Why training needs a contract, or is prohibited; None if it is free."""
    prohibited: bool


@dataclass(frozen=True, slots=True)
class Rsl:
    """The terms of one document.

    A location is a pattern as in robots.txt. The longest one that matches decides. Of its licences
    one that prohibits training decides, then one that permits it for free.
    """

    terms: tuple[_Terms, ...]

    @classmethod
    def parse(cls, content: bytes | str) -> Rsl | None:
        """The terms of a document; None if it is something else, such as a page about a licence.

        A feed counts too if it holds elements of RSL. Raises ValueError if RSL is broken.
        """
        reader = _Reader()
        try:
            reader.parser.Parse(content.lstrip(), True)
        except (expat.ExpatError, ValueError) as error:
            if reader.is_rsl:
                raise ValueError(f"it is no XML: {error}") from error
        return cls(tuple(reader.terms)) if reader.is_rsl else None

    def refusal(self, url: str) -> str | None:
        """What stands against training on what is at a URL, such as ``prohibits ai-train``."""
        path = path_of(url)
        found = [each for each in self.terms if matches(each.location, path)]
        longest = max((len(each.location) for each in found), default=0)
        found = [each for each in found if len(each.location) == longest]
        if not any(each.prohibited for each in found) and None in [each.refused for each in found]:
            return None
        found.sort(key=lambda each: not each.prohibited)
        return found[0].refused if found else None


class _Reader:
    """Collects the terms while a document is parsed."""

    def __init__(self) -> None:
        self.is_rsl = False
        self.terms: list[_Terms] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._doctype
        self._root = ""
        self._location = self._server = ""
        self._said: dict[str, str] = {}
        self._open = ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        element = self._element(name)
        attributes = {key.lower(): value.strip() for key, value in attributes.items()}
        if element == "content":
            self._location = pattern_of(attributes.get("url", ""))
            self._server = attributes.get("server", "")
        elif element == "license":
            self._said = {}
        elif element == "payment":
            self._said[element] = attributes.get("type", "").lower()
        elif element in ("permits", "prohibits") and attributes.get("type", "usage") == "usage":
            self._open = element
            self._said.setdefault(element, "")

    def _element(self, name: str) -> str:
        """The name of an element of RSL, "" of another one."""
        prefix, _, local = name.lower().rpartition(":")
        self._root = self._root or local
        if self._root != "rsl" and prefix != "rsl":
            return ""
        self.is_rsl = True
        return local

    def _text(self, text: str) -> None:
        if self._open:
            self._said[self._open] += f"{text} "

    def _end(self, name: str) -> None:
        self._open = ""
        if self._element(name) == "license":
            self.terms.append(_Terms(self._location, *self._judged()))

    def _judged(self) -> tuple[str | None, bool]:
        permits, prohibits = self._said.get("permits"), self._said.get("prohibits", "")
        if refused := _training(prohibits):
            return f"prohibits {refused}", True
        if permits is not None and not _training(permits):
            # It lists all uses that are permitted.
            return f"permits only {' '.join(permits.split())}", False
        payment = self._said.get("payment") or "free"
        if payment not in _FREE:
            return f"asks for payment: {payment}", False
        return (f"needs a licence of {self._server}" if self._server else None), False

    def _doctype(self, *_: object) -> None:
        raise ValueError("RSL has no document type")


def _training(uses: str) -> str:
    """The uses in a list that include training."""
    return " ".join(
        each
        for each in re.split(r"[\s,;|]+", uses)
        if re.sub("[-_]", "", each.lower()) in _TRAINING
    )


def linked_licences(fields: Fields) -> Iterator[str]:
    """The addresses of RSL licences in headers ``Link``, as they are written."""
    links = (each for name, value in fields if name == "link" for each in _NEXT_LINK.split(value))
    found = (each for each in map(_LINK.match, links) if each and is_rsl_link(each[2], each[2]))
    yield from (each[1].strip() for each in islice(found, LICENCES))


def is_rsl_link(relation: str, media_type: str) -> bool:
    """Whether a link leads to an RSL licence. Other licences are for people."""
    return RSL_TYPE in media_type.lower() and re.search("licen[sc]e", relation.lower()) is not None


def unread_signals(licences: Iterable[str], source: str | None = None) -> Iterator[OptOutSignal]:
    """A signal for each licence that is named and was not read.

    Without its text an asset is not licensed (RSL 1.0).
    """
    for each in dict.fromkeys(licences):
        yield signal(RSL_UNREAD, each, source)
