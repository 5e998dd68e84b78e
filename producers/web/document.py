"""A parsed HTML page: its elements, addresses, texts, languages and declared sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kaption.schemas.address import parsed
from kaption.schemas.limits import URL_CHARS, LanguageTag

Element = Any
"""An lxml.html.HtmlElement; lxml publishes no types."""

_LANGUAGE: TypeAdapter[str] = TypeAdapter(LanguageTag)
# Elements that do not separate words.
_INLINE = {"a", "abbr", "b", "bdi", "bdo", "cite", "code", "del", "em", "font", "i", "ins", "kbd"}
_INLINE |= {"mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "u", "wbr"}
_STYLE = re.compile(r"(?:^|;)\s*(?:width|height)\s*:\s*([0-9]{1,6})(?:\.[0-9]*)?px", re.IGNORECASE)
_PIXELS = re.compile(r"\s*([0-9]{1,6})(?:\.[0-9]*)?\s*(?:px)?\s*", re.IGNORECASE)
_BLANKS = re.compile(r"\s+")
# Most elements that one text is read of: it bounds what a hostile page costs.
_ELEMENTS = 500
_UNSEEN = {"script", "style", "template", "noscript", "head"}


class Document:
    """An HTML page. A text that is no HTML gives a page without elements.

    `url` is the page's address after redirects.
    """

    def __init__(self, html: str, url: str) -> None:
        from parsel import Selector

        # A lone surrogate cannot be encoded.
        text = html.encode("utf-8", "replace").decode()
        self.root: Element = Selector(text=text, type="html").root
        self.url = url
        # In what a browser has rendered their content is a text.
        for element in list(self.root.iter("noscript"))[:_ELEMENTS]:
            if "<img" in (element.text or "").lower() and not len(element):
                copy = Selector(text=element.text, type="html").root
                element.text = None
                element.extend(copy.findall("body/*"))

    @cached_property
    def base(self) -> str:
        """The URL that relative addresses start from: the first <base href>, or the page's own."""
        for element in self.root.iter("base"):
            if href := element.get("href"):
                return _joined(self.url, href) or self.url
        return self.url

    @cached_property
    def by_id(self) -> dict[str, Element]:
        """The first element with each id."""
        found: dict[str, Element] = {}
        for element in self.root.iter():
            # Comments have neither a name nor attributes.
            if isinstance(element.tag, str) and (name := element.get("id")):
                found.setdefault(name, element)
        return found

    @cached_property
    def address(self) -> str | None:
        """The page's own URL as `absolute` writes it."""
        return _joined(self.url, self.url)

    def absolute(self, address: str) -> str | None:
        """The absolute http or https URL without its fragment, or None for any other address."""
        return _joined(self.base, address)

    def language(self, element: Element) -> str | None:
        """The nearest `lang` at or above an element, or None if it is no language tag."""
        for around in (element, *element.iterancestors()):
            tag = around.get("lang", around.get("xml:lang"))
            if tag is not None:
                return language_tag(tag)
        return None


def language_tag(text: str) -> str | None:
    """A BCP 47 language tag, also if it was written with an underscore; else None."""
    try:
        return _LANGUAGE.validate_python(text.strip().replace("_", "-"))
    except ValidationError:
        return None


def text_of(element: Element, limit: int) -> str:
    """The visible text of an element with single spaces, cut at `limit` characters."""
    pieces = []
    size = 0
    for piece in filter(None, _pieces(element)):
        # Shortened first: most of a very long text is cut off in the end.
        pieces.append(_BLANKS.sub(" ", piece[: 8 * limit]))
        size += len(pieces[-1])
        if size > 2 * limit:
            break
    return cut(" ".join("".join(pieces).split()), limit)


def cut(text: str, limit: int) -> str:
    """The first `limit` characters at most, cut between two words if there is a space."""
    if len(text) <= limit:
        return text
    head, blank, _ = text[: limit + 1].rpartition(" ")
    return head if blank else text[:limit]


def declared_side(img: Element) -> int | None:
    """The smaller of width and height in CSS pixels, from attributes and style; None if unknown."""
    sides = [pixels(img.get(name) or "") for name in ("width", "height")]
    sides += map(int, _STYLE.findall(img.get("style") or ""))
    return min((side for side in sides if side is not None), default=None)


def pixels(text: str) -> int | None:
    """A whole number of pixels; None for percentages and anything else."""
    found = _PIXELS.fullmatch(text)
    return int(found[1]) if found else None


def _joined(base: str, address: str) -> str | None:
    if not address.partition("#")[0].strip():
        return None
    url = parsed(address, base)
    if url is None:
        return None
    url.hash = ""
    return url.href if url.protocol in ("http:", "https:") and len(url.href) <= URL_CHARS else None


def _pieces(top: Element) -> Iterator[str]:
    """Texts in order, with a space at the edges of blocks. No recursion: pages nest deeply."""
    yield top.text or ""
    open_elements = [(top, iter(top))]
    read = 0
    while open_elements and read < _ELEMENTS:
        element, children = open_elements[-1]
        child = next(children, None)
        read += child is not None
        if child is None:
            open_elements.pop()
            if open_elements:
                yield _edge(element)
                yield element.tail or ""
        elif isinstance(child.tag, str) and child.tag not in _UNSEEN:
            yield _edge(child)
            yield child.text or ""
            open_elements.append((child, iter(child)))
        else:
            yield child.tail or ""


def _edge(element: Element) -> str:
    return "" if element.tag in _INLINE else " "
