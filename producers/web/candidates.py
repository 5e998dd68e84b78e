"""Reads the addresses of an image from its element, and from those that show it again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from enum import IntEnum
from itertools import islice

from kaption.producers.web.document import Element, declared_side
from kaption.producers.web.elements import PageImages
from kaption.producers.web.json_values import json_images
from kaption.producers.web.signs import (
    attribute_address,
    css_urls,
    is_image_file,
    names_another,
    size_named,
)
from kaption.producers.web.srcset import Candidate, srcset

LARGE_WIDTH = 2_048
"""Pixels that are assumed where a page says that an address leads to a large size."""
ICON_SIDE = 32
"""Pixels. A smaller image in a link is taken for an icon, not for a thumbnail."""
NOT_DECODED = ("image/svg+xml", "image/jxl", "image/heic", "image/heif")
"""Formats that ingest does not decode."""
# Most that is read of one element: it bounds what a hostile page costs.
_SOURCES = 32
_ATTRIBUTES = 128
_AROUND = 2
"""How many elements above an image may hold its address."""
_SRCSET = re.compile(r"\S\s+[0-9.]{1,7}[wx]\s*(?:,|$)")
_DECLARATIONS = re.compile(r"(?:[^;(]|\([^)]*(?:\)|$))+")
# A variable holds the address where the style of a class shows it: background-image: var(--photo)
_BACKGROUND = re.compile(r"\s*(?:background(?:-image)?|(--[\w-]{1,100}))\s*:", re.IGNORECASE)
_OF_BACKGROUND = re.compile("bg|back|parallax")
_RESIZED = re.compile(r"((?:https?:)?//static\.wixstatic\.com/media/[^/?#]+)/v1/\S+", re.IGNORECASE)
"""Pages of Wix name a blurred preview alone. A script asks for the size that fits the window."""
_WIDTHS = re.compile(r"[0-9]{2,4}")


class Kind(IntEnum):
    """Where an address stands."""

    PLAIN = 0
    """Where browsers read it."""
    LAZY = 1
    """Where only a script reads it, or a browser without scripts."""
    ASIDE = 2
    """Another size of the same image, which says nothing about the others."""
    REPLACED = 3
    """Where browsers read it until a script replaces it: a placeholder."""
    LISTED = 4
    """In a list of JSON, which may hold this image, and others."""


def candidates_of(element: Element, images: PageImages) -> Iterator[tuple[Kind, Candidate]]:
    """The addresses as they are written, those of placeholders among them."""
    yield from _attributes(element)
    for name, value in _items(element):
        if not names_another(name):
            for found in json_images(value):
                yield (Kind.ASIDE if found.sized else Kind.LISTED), found.candidate
    # All ancestors: the parser takes <source> for an element with content, around the <img>.
    around = next(element.iterancestors("picture"), None)
    picture = element if element.tag == "picture" else around
    if picture is not None:
        for source in islice(picture.iter("source"), _SOURCES):
            if (source.get("type") or "").strip().lower() not in NOT_DECODED:
                yield from _attributes(source)
    linked = next(element.iterancestors("a"), None)
    href = (linked is not None and linked.get("href")) or ""
    # A thumbnail that leads to the image. A link around several images leads to none of them, and
    # one around an icon may lead elsewhere.
    icon = (declared_side(element) or ICON_SIDE + 1) <= ICON_SIDE
    if is_image_file(href) and not icon and not images.shows_another(linked, element):
        yield Kind.ASIDE, Candidate(href, LARGE_WIDTH)
    for around in islice(element.iterancestors(), _AROUND):
        if icon or images.shows_another(around, element):
            break
        # The items of galleries hold the address of the large size.
        for name, value in _items(around):
            if name.startswith("data-") and not _OF_BACKGROUND.search(name):
                for _, each in _unread(around, name, value):
                    known = each.density < 1 or each.width
                    yield Kind.ASIDE, each if known else replace(each, width=LARGE_WIDTH)
    fallback = next(element.iterancestors("object"), None)
    if fallback is not None and element is not fallback:
        yield from ((Kind.ASIDE, each) for _, each in _attributes(fallback))
    for copy in images.copies(element):
        # A copy beside the element means that browsers without scripts do not see the image there.
        kind = Kind.ASIDE if element in copy.iterancestors() else Kind.LAZY
        yield from ((kind, each) for _, each in _attributes(copy))


def _attributes(element: Element) -> Iterator[tuple[Kind, Candidate]]:
    plain: tuple[str, ...] = ("src", "srcset")
    if element.tag == "image":
        # An old name of <img>, and an image in a drawing.
        plain = ("href", "xlink:href", "src", "srcset")
    elif element.tag in ("video", "amp-video"):
        plain = ("poster",)
    elif element.tag in ("object", "embed"):
        place = "data" if element.tag == "object" else "src"
        plain, said = (place,), (element.get("type") or "").strip().lower()
        image = said.startswith("image/") or (not said and is_image_file(element.get(place) or ""))
        if not image or said in NOT_DECODED:
            return
    for name, value in _items(element, plain):
        if name in plain:
            found = srcset(value) if name == "srcset" else (Candidate(value),)
            yield from ((Kind.PLAIN, each) for each in found)
            if whole := _RESIZED.fullmatch(value.strip()):
                yield Kind.ASIDE, Candidate(whole[1], LARGE_WIDTH)
        elif name == "style":
            # An <img> shows its `src` before its background.
            if element.tag != "img":
                yield from ((Kind.PLAIN, each) for each in _backgrounds(value))
        else:
            yield from _unread(element, name, value)


def _items(element: Element, most_wanted: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    # lxml takes the square of their number.
    if len(element.attrib) > _ATTRIBUTES:
        return [(name, element.get(name, "")) for name in most_wanted]
    items: list[tuple[str, str]] = element.items()
    return items


def _unread(element: Element, name: str, value: str) -> Iterator[tuple[Kind, Candidate]]:
    """The addresses in an attribute that browsers do not read."""
    if names_another(name):
        return
    size = size_named(name)
    kind = Kind.LAZY if size == 1 else Kind.ASIDE
    if name.endswith("srcset"):
        yield from ((kind, each) for each in srcset(value))
    elif _SRCSET.search(value):
        for each in srcset(value):
            if attribute_address(name, each.address):
                yield kind, each
    elif "{width}" in value:
        for width in _WIDTHS.findall((element.get("data-widths") or "")[:200]):
            if address := attribute_address(name, value.replace("{width}", width)):
                yield kind, Candidate(address, int(width))
    elif address := attribute_address(name, value):
        yield kind, Candidate(address, LARGE_WIDTH if size > 1 else 0, min(size, 1.0))


def _backgrounds(style: str) -> Iterator[Candidate]:
    for declaration in _DECLARATIONS.findall(style):
        found = _BACKGROUND.match(declaration)
        if found and not (found[1] and names_another(found[1].lower())):
            # Of layers the first is on top; an image-set holds sizes of one image.
            most = None if "image-set" in declaration else 1
            yield from map(Candidate, islice(css_urls(declaration), most))
