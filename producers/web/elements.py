"""The elements of a page that show images, and those that show the same image again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice

from kaption.producers.web.document import Document, Element, declared_side

PAGE_IMAGES = 1_000
"""Most images that are read of one page: it bounds what a hostile page can cost."""
_TAGS = ("img", "amp-img", "amp-anim", "image")
# Scripts make images of elements of any name, and give them the texts of images.
_SHOWING = (
    "//*[self::img or self::amp-img or self::amp-anim or (self::object and @data)"
    " or (self::embed and @src) or @data-alt"
    " or (self::video and @poster) or (self::amp-video and @poster) or self::image"
    " or (self::input and translate(@type, 'IMAGE', 'image') = 'image')"
    " or starts-with(translate(normalize-space(@role), 'IMAGE', 'image'), 'im')"
    " or (@alt and not(self::area or self::input or self::link))]"
    "[not((@placeholder and ancestor::amp-img) or ancestor::template[not(@shadowrootmode)])]"
)
_LEVELS = 3
"""How many elements above an image a <noscript> with its copy may stand."""


class PageImages:
    """The images of one page, and where they lie."""

    def __init__(self, document: Document) -> None:
        from lxml.etree import iterwalk

        found: list[Element] = document.root.xpath(_SHOWING)[:PAGE_IMAGES]
        self.elements = found
        """The elements that show images, in the page's order, at most PAGE_IMAGES."""
        # One walk, because a walk below each element would cost the square of a hostile page.
        self._spans: dict[Element, tuple[int, int]] = {}
        self._shown: list[int] = []
        begun: list[int] = []
        count = copied = 0
        for event, element in iterwalk(document.root, events=("start", "end")):
            if event == "start":
                begun.append(count)
                copied += element.tag == "noscript"
                if element.tag in _TAGS and not copied:
                    self._shown.append(count)
                count += 1
            else:
                copied -= element.tag == "noscript"
                self._spans[element] = (begun.pop(), count)

    def shows_another(self, around: Element, image: Element) -> bool:
        """Whether an element holds another image than this one.

        Copies in <noscript> do not count.
        """
        begin, end = self._spans[around]
        inside = bisect_left(self._shown, end) - bisect_left(self._shown, begin)
        return inside > self._is_shown(image)

    def copies(self, image: Element) -> Iterator[Element]:
        """Elements that show the same image: inside this one, or beside it in a <noscript>."""
        below = [each for each in islice(image.iter(*_TAGS), _LEVELS + 1) if each is not image]
        shown = [each for each in below if "placeholder" not in each.attrib]
        # Several below an element that is itself no image are its parts, as the stars of a rating.
        if image.tag in _TAGS or len(shown) == 1:
            yield from shown
        if image.tag not in _TAGS or self._is_shown(image):
            yield from self._beside(image)

    def _is_shown(self, image: Element) -> bool:
        begin, _ = self._spans[image]
        at = bisect_left(self._shown, begin)
        return at < len(self._shown) and self._shown[at] == begin

    def _beside(self, image: Element) -> Iterator[Element]:
        child = image
        for around in islice(image.iterancestors(), _LEVELS):
            nearest = (
                next(child.itersiblings("*"), None),
                next(child.itersiblings("*", preceding=True), None),
            )
            found = [each for each in nearest if each is not None and each.tag == "noscript"]
            if found:
                alone = not self.shows_another(around, image)
                held = [each for one in found for each in islice(one.iter(*_TAGS), 2)]
                same = [each for each in held if _same(each, image, alone=alone)]
                if len(same) == 1:
                    yield same[0]
                return
            child = around


def _same(copy: Element, image: Element, *, alone: bool) -> bool:
    side = declared_side(copy)
    if side is not None and side < 16:  # counts visitors
        return False
    texts = {each for one in (copy, image) if (each := (one.get("alt") or "").strip())}
    # Between other images only the same text tells that it is a copy.
    return len(texts) < 2 and (alone or (bool(copy.get("alt")) and bool(image.get("alt"))))
