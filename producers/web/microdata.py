"""The images that a page tells of in microdata (the HTML Standard, 5), in schema.org's words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from kaption.producers.web.addresses import image_url
from kaption.producers.web.document import Document, Element, text_of
from kaption.producers.web.metadata import IMAGE_TYPES, OF_IMAGE, OTHERS, SharedImage, property_key

_PROPERTY = "//*[@itemprop][not(ancestor::template)]"
_PROPERTIES = 5_000
"""Most properties that are read of one page: it bounds what a hostile page can cost."""
_LEVELS = 200
"""How many elements below its item a property may stand; also a bound."""
_TEXT_CHARS = 5_000
# Images on the page itself, <img itemprop="image">, are read with all that stands around them.
_UNSEEN = ("meta", "link")
_TEXTS = {"caption": "ld:caption", "description": "ld:description", "name": "ld:name"}
_TEXTS["headline"] = _TEXTS["name"]


def microdata_images(document: Document) -> Iterator[SharedImage]:
    """Each image that an item names in a <meta> or <link>, with the texts of the item."""
    properties: list[Element] = document.root.xpath(_PROPERTY)[:_PROPERTIES]
    texts: dict[Element, dict[str, str]] = {}
    images: list[tuple[Element, str]] = []
    for element in properties:
        around = islice(element.iterancestors(), _LEVELS)
        item = next((each for each in around if "itemscope" in each.attrib), None)
        if item is None:
            continue
        of_item = OF_IMAGE if not _is_image(item) else (*OF_IMAGE, "contenturl")
        for name in map(property_key, islice(element.get("itemprop").split(), 8)):
            if name in _TEXTS and "itemscope" not in element.attrib:
                texts.setdefault(item, {}).setdefault(_TEXTS[name], _value(element))
            elif name in of_item and element.tag in _UNSEEN:
                images.append((item, _value(element)))
    for item, address in images:
        known = texts.get(item, {})
        told = {name: text for name in _TEXTS.values() if (text := known.get(name))}
        url = image_url(address, document)
        if url and told and not _is_of_another(item):
            yield SharedImage([url], told)


def _value(element: Element) -> str:
    written = element.get("content") or element.get("href")
    return " ".join(written.split()) if written else text_of(element, _TEXT_CHARS)


def _is_image(item: Element) -> bool:
    return any(each.endswith(IMAGE_TYPES) for each in (item.get("itemtype") or "").lower().split())


def _is_of_another(item: Element) -> bool:
    """Whether the item is the author, publisher or brand of another one."""
    own = (item.get("itemprop") or "").split()
    return any(property_key(each) in OTHERS for each in own)
