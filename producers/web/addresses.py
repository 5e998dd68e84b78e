"""Finds the addresses of an image on a page, and chooses among them."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Container
from itertools import islice
from typing import Any, NamedTuple

from kaption.producers.web.candidates import NOT_DECODED, Kind, candidates_of
from kaption.producers.web.document import Document, Element
from kaption.producers.web.elements import PageImages
from kaption.producers.web.placeholders import is_no_image, may_be_blank, stem_of
from kaption.producers.web.signs import is_template
from kaption.producers.web.srcset import Candidate
from kaption.schemas.address import image_address
from kaption.schemas.limits import ALTERNATIVES

DATA_URI_BYTES = range(512, 256 * 1024 + 1)
"""Sizes of images inside the page that are taken: smaller ones are placeholders."""
WIDEST = 8_000
"""Pixels. Ingest accepts 64 million by default: a square of this width."""
USUAL_WIDTH = 300
"""Pixels that are assumed where nothing is known: previews are smaller, other sizes larger."""

# Most that are read of one element: it bounds what a hostile page costs.
_CANDIDATES = 64


class FoundImage(NamedTuple):
    """An address that is an image's, as a browser understands it."""

    image: str
    """A URL, or a data: URI."""
    candidate: Candidate
    kind: Kind

    @property
    def is_url(self) -> bool:
        """Whether it is no data: URI."""
        return not self.image.startswith("data:")


def addresses_of(element: Element, document: Document, images: PageImages) -> list[FoundImage]:
    """All addresses of an element's image, those of its placeholders among them."""
    found: dict[str, FoundImage] = {}
    for kind, candidate in islice(candidates_of(element, images), _CANDIDATES):
        image = _understood(candidate.address, document)
        if image is None:
            continue
        held = found.setdefault(image, FoundImage(image, candidate, kind))
        if candidate.width > held.candidate.width:
            found[image] = held._replace(candidate=candidate)
    return list(found.values())


def settled(found: list[FoundImage]) -> list[FoundImage]:
    """An image's addresses, with the kind REPLACED for placeholders.

    Of a list those stay whose file has the name of another address, or else of the first.
    """
    listed = [each for each in found if each.kind is Kind.LISTED]
    own = [each for each in found if each not in listed and each.is_url]
    names = {stem_of(each.image) for each in own if not may_be_blank(each.image)}
    names = names or {stem_of(each.image) for each in listed[:1]}
    found = [each for each in found if each not in listed or stem_of(each.image) in names]
    lazy = [each.image for each in found if each.kind is Kind.LAZY and each.is_url]
    stems = {stem_of(image) for image in lazy} - {""}

    def kind(each: FoundImage) -> Kind:
        # What a script replaces is a small size of the image, or the same spinner for all images.
        replaced = lazy and (not each.is_url or stem_of(each.image) not in stems)
        replaced = replaced or (len(found) > 1 and each.is_url and may_be_blank(each.image))
        return Kind.REPLACED if each.kind is Kind.PLAIN and replaced else each.kind

    # Sizes that a script reads come before the one that it replaces.
    first = sorted(found, key=lambda each: bool(lazy) and each.kind is Kind.PLAIN)
    return [each._replace(kind=kind(each)) for each in first]


def chosen(
    found: Collection[FoundImage], archived: Container[str] = (), min_width: int = 0
) -> tuple[dict[str, Any], int] | None:
    """The largest image that ingest accepts, and its width; None if none is left.

    The image has the fields of `RawPair.image`: `url` and perhaps `alternatives`, or `inline` in
    base64. The width is in pixels, as the page says; 0 if unknown. URLs come before images inside
    the page (data URIs). URLs in `archived` come before others, unless they are known to be
    narrower than `min_width` pixels.
    """

    def rank(each: FoundImage) -> tuple[bool, bool, int, float]:
        width, density = each.candidate.width, each.candidate.density
        at_hand = each.image in archived and (not width or width >= min_width)
        fits = width <= WIDEST
        return at_hand, fits, (width or USUAL_WIDTH) if fits else -width, density

    # Of equals the first stays first.
    urls = sorted((each for each in found if each.is_url), key=rank, reverse=True)
    if urls:
        others = [each.image for each in urls[1 : ALTERNATIVES + 1]]
        image = {"url": urls[0].image, **({"alternatives": others} if others else {})}
        return image, urls[0].candidate.width
    inline = [content for each in found if (content := _inline(each.image))]
    return ({"inline": inline[0]}, 0) if inline else None


def image_url(address: str, document: Document) -> str | None:
    """The absolute URL of an image's address, or None if it is no image's or a placeholder's."""
    if is_template(address):
        return None
    url = document.absolute(address)
    return None if url is None or url == document.address or is_no_image(url) else url


def _understood(address: str, document: Document) -> str | None:
    address = address.strip()
    if address[:5].lower() == "data:":
        # Images that move while the real one loads are GIFs.
        media_type = re.split("[;,]", address[5:], maxsplit=1)[0].strip().lower()
        if media_type in (*NOT_DECODED, "image/gif") or not media_type.startswith("image/"):
            return None
        return "data:" + address[5:]
    return image_url(address, document)


def _inline(uri: str) -> str | None:
    """The image of a data: URI in base64."""
    # Percent-encoding writes one byte as three characters.
    if len(uri) > 3 * DATA_URI_BYTES.stop:
        return None
    try:
        content = image_address(uri)
    except ValueError:
        return None
    assert isinstance(content, bytes)  # of a data: URI
    return base64.b64encode(content).decode() if len(content) in DATA_URI_BYTES else None
