"""The licences that a page states for its images, in links and in JSON-LD."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kaption.producers.web.document import Document, Element
from kaption.schemas.limits import NAME_CHARS

_CREATIVE_COMMONS = re.compile(
    r"https?://(www\.)?creativecommons\.org/(licenses|publicdomain)/.", re.IGNORECASE
)
_ADDRESS = re.compile(r"https?:|\.{0,2}/", re.IGNORECASE)


class Licences:
    """All licences that a page links to: with rel="license", or at Creative Commons.

    A link inside a <figure> holds for that figure, any other link for the whole page. What JSON-LD
    states for an image (`add`) counts before both.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._of_image: dict[str, set[str]] = {}
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

    def add(self, images: Iterable[str], licence: str) -> None:
        """A licence for the images at these URLs: an address, or words. An empty one is none."""
        found = self._document.absolute(licence) if _ADDRESS.match(licence) else licence
        if found and len(found) <= NAME_CHARS:
            for each in images:
                self._of_image.setdefault(each, set()).add(found)

    def of(self, img: Element | None, urls: Iterable[str]) -> str | None:
        """The licence's URL or words, or None if the page states none, or several different ones.

        `urls` are those of the sizes of the image.
        """
        found = {each for url in urls for each in self._of_image.get(url, ())}
        figure = None if img is None else next(img.iterancestors("figure"), None)
        for place in (figure, None):
            found = found or self._stated.get(place, set()) or self._linked.get(place, set())
        return next(iter(found)) if len(found) == 1 else None
