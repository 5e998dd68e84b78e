"""The licence that a page states for an image."""

from __future__ import annotations

import re

from kaption.producers.web.document import Document, Element
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
