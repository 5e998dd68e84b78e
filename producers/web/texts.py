"""Finds the texts that a page has for an image, the best first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from kaption.producers.web.document import Document, Element, cut, text_of
from kaption.producers.web.elements import PageImages

NEARBY_CHARS = 300
NEARBY_LEVELS = 4
"""How many elements above an image are searched for a nearby text."""
CAPTION_CHARS = 2_000
_LABELS = 8
_CAPTIONS = 50

_FILE_NAME = re.compile(r"\S+\.(jpe?g|png|gif|webp|avif|bmp|tiff?|heic)", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]")
_SAID = re.compile(r"[^\W_]")
"""A caption may be a number alone, such as the year of a photograph or the name of a model."""


class Texts:
    """Finds the texts of one page's images; a text that several images share is read once."""

    def __init__(self, document: Document, images: PageImages) -> None:
        self._images = images
        self._document = document
        self._captions: dict[Element, Element | None] = {}
        self._texts: dict[Element, str] = {}

    def of(self, img: Element) -> dict[str, str]:
        """The image's texts by where they were found, the most trusted first; may be empty.

        The places are `alt`, `figcaption`, `aria` (label or labelledby), `title`, and `nearby`,
        which is the text of the smallest element with this image and no other. An `alt` that is a
        file name comes last.
        """
        found: dict[str, str] = {}
        for name, text in self._told(img):
            # Stars and emojis are no text of an image.
            if _SAID.search(text) and text not in found.values():
                found[name] = text
        if not found and _decorative(img):
            return {}
        nearby = self._nearby(img)
        if nearby and not any(nearby in text for text in found.values()):
            found["nearby"] = nearby
        if _FILE_NAME.fullmatch(found.get("alt", "")):
            found["alt"] = found.pop("alt")
        return found

    def _told(self, img: Element) -> Iterator[tuple[str, str]]:
        fallback = self._text(img) if img.tag == "object" else ""
        if img.tag == "image":
            fallback = self._drawn(img)
        yield "alt", _attribute(img, "alt") or _attribute(img, "data-alt") or fallback
        yield "figcaption", self._text(self._caption(next(img.iterancestors("figure"), None)))
        names = (img.get("aria-labelledby") or "").split()[:_LABELS]
        labels = " ".join(filter(None, (self._text(self._document.by_id.get(n)) for n in names)))
        yield "aria", _attribute(img, "aria-label") or cut(labels, CAPTION_CHARS)
        yield "title", _attribute(img, "title")

    def _drawn(self, image: Element) -> str:
        """The title or the description of an image in a drawing, or of a drawing of it alone."""
        around = next(image.iterancestors("svg"), None)
        alone = around is not None and not self._images.shows_another(around, image)
        places = [image, *([around] if alone else [])]
        found = (child for place in places for child in place.iterchildren("title", "desc"))
        told = next(filter(None, map(self._text, found)), "")
        return told or (_attribute(around, "aria-label") if alone else "")

    def _caption(self, figure: Element | None) -> Element | None:
        if figure is not None and figure not in self._captions:
            # The caption of a figure inside this one is another image's.
            captions = (
                each
                for each in islice(figure.iter("figcaption"), _CAPTIONS)
                if next(each.iterancestors("figure")) is figure
            )
            self._captions[figure] = next(captions, None)
        return self._captions.get(figure)

    def _text(self, element: Element | None) -> str:
        if element is None:
            return ""
        if element not in self._texts:
            self._texts[element] = text_of(element, CAPTION_CHARS)
        return self._texts[element]

    def _nearby(self, img: Element) -> str:
        for around in islice(img.iterancestors(), NEARBY_LEVELS):
            if around.tag in ("body", "html") or self._images.shows_another(around, img):
                return ""
            text = self._text(around)
            if _WORD.search(text):
                return cut(text, NEARBY_CHARS)
        return ""


def _attribute(img: Element, name: str) -> str:
    return " ".join((img.get(name) or "").split())


def _decorative(img: Element) -> bool:
    """Whether the page says that the image means nothing (WAI, "Decorative Images")."""
    role = (img.get("role") or "").strip().lower()
    return img.get("alt") == "" or role in ("presentation", "none")
