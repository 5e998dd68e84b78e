"""Finds the texts that a page has for an image, the best first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from kaption.producers.web.document import Document, Element, cut, text_of

NEARBY_CHARS = 300
NEARBY_LEVELS = 4
"""How many elements above an image are searched for a nearby text."""
CAPTION_CHARS = 2_000
IMAGES = ("img", "amp-img")
_LABELS = 8

_FILE_NAME = re.compile(r"\S+\.(jpe?g|png|gif|webp|avif|bmp|tiff?|heic)", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]")


class Texts:
    """Finds the texts of one page's images; a text that several images share is read once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._captions: dict[Element, str] = {}
        self._labels: dict[str, str] = {}

    def of(self, img: Element) -> dict[str, str]:
        """The image's texts by where they were found, the most trusted first; may be empty.

        The places are `alt`, `figcaption`, `aria` (label or labelledby), `title`, and `nearby`,
        which is the text of the smallest element with this image and no other. An `alt` that is a
        file name comes last.
        """
        found: dict[str, str] = {}
        for name, text in self._told(img):
            if text and text not in found.values():
                found[name] = text
        if not found and _decorative(img):
            return {}
        nearby = _nearby(img)
        if nearby and not any(nearby in text for text in found.values()):
            found["nearby"] = nearby
        if _FILE_NAME.fullmatch(found.get("alt", "")):
            found["alt"] = found.pop("alt")
        return found

    def _told(self, img: Element) -> Iterator[tuple[str, str]]:
        yield "alt", _attribute(img, "alt")
        yield "figcaption", self._caption(next(img.iterancestors("figure"), None))
        names = (img.get("aria-labelledby") or "").split()[:_LABELS]
        labels = " ".join(filter(None, map(self._label, names)))
        yield "aria", _attribute(img, "aria-label") or cut(labels, CAPTION_CHARS)
        yield "title", _attribute(img, "title")

    def _caption(self, figure: Element | None) -> str:
        if figure is None:
            return ""
        if figure not in self._captions:
            caption = next(figure.iter("figcaption"), None)
            self._captions[figure] = "" if caption is None else text_of(caption, CAPTION_CHARS)
        return self._captions[figure]

    def _label(self, name: str) -> str:
        if name not in self._labels:
            label = self._document.by_id.get(name)
            self._labels[name] = "" if label is None else text_of(label, CAPTION_CHARS)
        return self._labels[name]


def _attribute(img: Element, name: str) -> str:
    return " ".join((img.get(name) or "").split())


def _decorative(img: Element) -> bool:
    """Whether the page says that the image means nothing (WAI, "Decorative Images")."""
    role = (img.get("role") or "").strip().lower()
    return img.get("alt") == "" or role in ("presentation", "none")


def _nearby(img: Element) -> str:
    for around in islice(img.iterancestors(), NEARBY_LEVELS):
        if around.tag in ("body", "html") or _holds_another(around, img):
            return ""
        text = text_of(around, NEARBY_CHARS)
        if _WORD.search(text):
            return text
    return ""


def _holds_another(around: Element, img: Element) -> bool:
    others = (each for each in around.iter(*IMAGES) if each is not img)
    # A copy in <noscript> is the same image, for browsers that would not load it lazily.
    return any(each.getparent().tag != "noscript" for each in others)
