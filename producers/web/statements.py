"""What a page states: the licences of its images, and what it shares by the Open Graph protocol."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from kaption.producers.web.document import Document, Element, pixels
from kaption.schemas.limits import NAME_CHARS

_CREATIVE_COMMONS = re.compile(
    r"https?://(www\.)?creativecommons\.org/(licenses|publicdomain)/.", re.IGNORECASE
)


class Licences:
    """All licences that a page links to: with rel="license", or at Creative Commons.

    A link inside a <figure> holds for that figure, any other link for the whole page.
    """

    def __init__(self, document: Document) -> None:
        self._stated: dict[Element | None, set[str]] = {}
        self._linked: dict[Element | None, set[str]] = {}
        for link in document.root.iter("a", "link"):
            url = document.absolute(link.get("href") or "")
            if url is None or len(url) > NAME_CHARS:
                continue
            figure = next(link.iterancestors("figure"), None)
            if "license" in (link.get("rel") or "").lower().split():
                self._stated.setdefault(figure, set()).add(url)
            elif _CREATIVE_COMMONS.match(url):
                self._linked.setdefault(figure, set()).add(url)

    def of(self, img: Element | None) -> str | None:
        """The licence's URL, or None if the page states none, or several different ones."""
        figure = None if img is None else next(img.iterancestors("figure"), None)
        for place in dict.fromkeys((figure, None)):
            found = self._stated.get(place) or self._linked.get(place)
            if found:
                return next(iter(found)) if len(found) == 1 else None
        return None


@dataclass(slots=True)
class SharedImage:
    """One og:image with its properties, which follow it in the page."""

    address: str
    alt: str = ""
    sides: list[int] = field(default_factory=list)
    """Declared width and height in pixels."""


def shared_images(document: Document) -> list[SharedImage]:
    """Each og:image in turn."""
    found: list[SharedImage] = []
    for name, content in _properties(document):
        if name in ("og:image", "og:image:url"):
            found.append(SharedImage(content))
        elif found and name == "og:image:alt":
            found[-1].alt = content
        elif found and name in ("og:image:width", "og:image:height"):
            side = pixels(content)
            if side is not None:
                found[-1].sides.append(side)
    return found


def page_texts(document: Document) -> dict[str, str]:
    """The first og:title and the first og:description."""
    found: dict[str, str] = {}
    for name, content in _properties(document):
        if name in ("og:title", "og:description"):
            found.setdefault(name, content)
    return found


def _properties(document: Document) -> Iterator[tuple[str, str]]:
    for meta in document.root.iter("meta"):
        # The protocol says `property`; many pages say `name`.
        name = (meta.get("property") or meta.get("name") or "").strip().lower()
        content = " ".join((meta.get("content") or "").split())
        if name.startswith("og:") and content:
            yield name, content
