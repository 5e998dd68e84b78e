"""Finds the addresses of an <img>: src, srcset, <picture>, and the attributes of lazy loading."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from urllib.parse import unquote_to_bytes, urlsplit

from kaption.producers.web.document import Document, Element

DATA_URI_BYTES = range(512, 256 * 1024 + 1)
"""Sizes of images inside the page that are taken: smaller ones are placeholders."""

# lazysizes, jQuery Lazy Load, WP Rocket and Jetpack, slick, echo.js, Flickity.
_LAZY = (
    "data-src",
    "data-original",
    "data-lazy-src",
    "data-lazy",
    "data-echo",
    "data-flickity-lazyload",
)
_SRCSETS = ("srcset", "data-srcset", "data-lazy-srcset", "data-flickity-lazyload-srcset")
# Most <source> elements that are read of one <picture>: it bounds what a hostile page costs.
_SOURCES = 32
_ADDRESS = re.compile(r"[\s,]*(\S+)")
_DESCRIPTORS = re.compile(r"[^,]*,?")
# Formats that ingest does not decode.
_NOT_DECODED = ("image/svg+xml", "image/jxl", "image/heic", "image/heif")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the addresses of an image, with the size that its `srcset` tells."""

    address: str
    width: int = 0
    """In pixels; 0 if unknown."""
    density: float = 1.0
    placeholder: bool = False
    """Whether a script replaces it later: it may be a blank image."""


@dataclass(frozen=True, slots=True)
class PageImage:
    """The image of a pair."""

    image: dict[str, str]
    """Fields of `RawPair.image`: either `url`, or `inline` with base64."""
    width: int = 0
    """In pixels, from the `srcset`; 0 if unknown."""


def image_of(
    img: Element, document: Document, archived: Container[str] = (), min_width: int = 0
) -> PageImage | None:
    """The largest image that an <img> names, or None.

    URLs come before images inside the page (data URIs). Addresses in `archived` come before others,
    unless they are known to be narrower than `min_width` pixels, or are placeholders, which may be
    blank.
    """

    def rank(found: tuple[Candidate, dict[str, str]]) -> tuple[bool, bool, int, float]:
        each, image = found
        url = image.get("url")
        at_hand = url in archived and not each.placeholder
        wide = not each.width or each.width >= min_width
        return url is not None, at_hand and wide, each.width, each.density

    images = [(each, _image(each.address, document)) for each in _candidates(img)]
    found = [(each, image) for each, image in images if image is not None]
    if not found:
        return None
    # The first of equals: max keeps it.
    best, image = max(found, key=rank)
    return PageImage(image, best.width)


def srcset(text: str) -> Iterator[Candidate]:
    """The candidates of a `srcset`, parsed as in the HTML standard: addresses may hold commas."""
    at = 0
    while found := _ADDRESS.match(text, at):
        address, at = found[1], found.end()
        descriptors = ""
        if address.endswith(","):
            address = address.rstrip(",")
        elif after := _DESCRIPTORS.match(text, at):
            descriptors, at = after[0].rstrip(","), after.end()
        if address:
            yield _described(address, descriptors)


def _described(address: str, descriptors: str) -> Candidate:
    width, density = 0, 1.0
    for each in descriptors.split():
        if re.fullmatch(r"[0-9]{1,6}w", each):
            width = int(each[:-1])
        elif re.fullmatch(r"[0-9]{0,3}(\.[0-9]{1,6})?x", each) and each != "x":
            density = float(each[:-1])
    return Candidate(address, width, density)


def _candidates(img: Element) -> Iterator[Candidate]:
    lazy = any(img.get(name) for name in (*_LAZY, *_SRCSETS[1:]))
    yield from _srcsets(img, lazy=lazy)
    for name in (*_LAZY, "src"):
        if address := img.get(name):
            yield Candidate(address, placeholder=lazy and name == "src")
    # All ancestors: the parser takes <source> for an element with content, around the <img>.
    picture = next(img.iterancestors("picture"), None)
    if picture is not None:
        for source in islice(picture.iter("source"), _SOURCES):
            if (source.get("type") or "").strip().lower() not in _NOT_DECODED:
                yield from _srcsets(source)


def _srcsets(element: Element, *, lazy: bool = False) -> Iterator[Candidate]:
    for name in _SRCSETS:
        for each in srcset(element.get(name) or ""):
            yield replace(each, placeholder=lazy and name == "srcset")


def _image(address: str, document: Document) -> dict[str, str] | None:
    address = address.strip()
    if address[:5].lower() == "data:":
        return _from_data(address[5:])
    url = document.absolute(address)
    if url is None or urlsplit(url).path.lower().endswith((".svg", ".svgz")):
        return None
    return {"url": url}


def _from_data(uri: str) -> dict[str, str] | None:
    """The image of a data URI (RFC 2397), without its scheme."""
    head, _, body = uri.partition(",")
    media_type, *parameters = [part.strip().lower() for part in head.split(";")]
    # Percent-encoding writes one byte as three characters.
    if not media_type.startswith("image/") or len(body) > 3 * DATA_URI_BYTES.stop:
        return None
    if media_type in _NOT_DECODED:
        return None
    content = unquote_to_bytes(body)
    if "base64" in parameters:
        try:
            content = base64.b64decode(b"".join(content.split()) + b"==")
        except binascii.Error:
            return None
    if len(content) not in DATA_URI_BYTES:
        return None
    return {"inline": base64.b64encode(content).decode()}
