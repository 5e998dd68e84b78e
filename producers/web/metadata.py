"""The images that a page tells machines of: Open Graph, Twitter cards and JSON-LD."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from itertools import chain, islice
from typing import Any

from kaption.producers.web.addresses import image_url
from kaption.producers.web.document import Document, pixels
from kaption.producers.web.signs import is_image_file

# Most values of JSON-LD that are read of one page.
_VALUES = 20_000
_IMAGES = ("og:image", "og:image:url", "twitter:image", "twitter:image:src")
_PAGE_TEXTS = ("og:title", "og:description", "twitter:title", "twitter:description")
# Templates write a comma behind the last value too.
_TRAILING_COMMA = re.compile(r",(?=\s*[}\]])")
_DECODER = json.JSONDecoder(strict=False)
_COMMENT = re.compile(r"^\s*(?://\s*)?(?:<!\[CDATA\[|<!--)|(?://\s*)?(?:\]\]>|-->)\s*$")
_LEADING = re.compile(r"\A(?:\s*(?://[^\n]*\n|/\*.*?\*/))+", re.DOTALL)
_BETWEEN = re.compile(r"[\s,;\ufeff]*")
_SCRIPT_VALUES = 100
"""Most values of one script, of which each should have one."""
IMAGE_TYPES = ("imageobject", "photograph", "barcode")
OF_IMAGE = ("image", "photo", "primaryimageofpage", "associatedmedia", "thumbnailurl")
# The images below these show somebody else: who wrote or sells what the page is about.
OTHERS = ("logo", "publisher", "author", "creator", "provider", "brand", "thumbnail")


@dataclass(slots=True)
class SharedImage:
    """One image that a page tells of."""

    addresses: list[str]
    """URLs, the best first."""
    texts: dict[str, str] = field(default_factory=dict)
    """Texts by where they were found, the most trusted place first; may be empty."""
    sides: list[int] = field(default_factory=list)
    """Declared width and height in pixels."""
    licence: str = ""
    """The address of its licence, as it is written."""
    reference: str = ""
    """The name by which other values of JSON-LD refer to it (`@id`)."""


def shared_images(document: Document) -> Iterator[SharedImage]:
    """Each image that the page's <meta> elements name, then each of its JSON-LD."""
    # What stands before the first image belongs to it.
    last = SharedImage([])
    found: list[SharedImage] = []
    of_page: dict[str, str] = {}
    for name, content in _properties(document):
        if name in _IMAGES:
            last = SharedImage([content]) if found else last
            if not found:
                last.addresses.insert(0, content)
            found.append(last)
        elif name == "og:image:secure_url":
            last.addresses.append(content)
        elif name in ("og:image:alt", "twitter:image:alt"):
            last.texts[name] = content
        elif name in ("og:image:width", "og:image:height"):
            last.sides += filter(None, [pixels(content)])
        elif name in _PAGE_TEXTS and content not in of_page.values():
            of_page.setdefault(name, content)
    if not found and last.addresses:
        found = [last]
    linked = [SharedImage([href]) for href in _image_links(document)]
    for each in (*found, *linked):
        each.texts |= {name: of_page[name] for name in _PAGE_TEXTS if name in of_page}
    title = " ".join((document.root.findtext(".//title") or "").split())
    for each in linked:
        if title and not each.texts:
            each.texts["page:title"] = title
    for each in chain(found, linked, _linked_data(document)):
        urls = dict.fromkeys(image_url(address, document) for address in each.addresses)
        each.addresses = [url for url in urls if url is not None]
        yield each


def _properties(document: Document) -> Iterator[tuple[str, str]]:
    for meta in document.root.iter("meta"):
        # Open Graph says `property` and Twitter says `name`; many pages mix them up.
        names = (meta.get("property") or meta.get("name") or "").lower().split()
        content = " ".join((meta.get("content") or meta.get("value") or "").split())
        # One element may have several properties. The first one tells enough.
        name = next((each for each in names if each.startswith(("og:", "twitter:"))), None)
        if name and content:
            yield name, content


def _image_links(document: Document) -> Iterator[str]:
    """The image of <link rel="image_src">, by which pages named it before Open Graph."""
    for link in document.root.iter("link"):
        if "image_src" in (link.get("rel") or "").lower().split() and link.get("href"):
            yield link.get("href")


def _linked_data(document: Document) -> Iterator[SharedImage]:
    owners: dict[str, str] = {}
    for each in list(islice(_described(document, owners), _VALUES)):
        if not each.texts and (name := owners.get(each.reference)):
            each.texts["ld:name"] = name
        yield each


def _described(document: Document, owners: dict[str, str]) -> Iterator[SharedImage]:
    """The images; `owners` gets the names of what refers to an image by its `@id`."""
    for script in document.root.iter("script"):
        kind = (script.get("type") or "").partition(";")[0].strip().lower()
        if kind != "application/ld+json":
            continue
        text = _LEADING.sub("", _COMMENT.sub("", script.text or ""))
        for written in (text, _TRAILING_COMMA.sub("", text)):
            values = list(_values(written))
            for data in values:
                yield from _images(data, owners)
            if values:
                break


def _values(text: str) -> Iterator[Any]:
    """The JSON values at the beginning of a text, one behind the other.

    What follows the last one, such as a comment, is passed over.
    """
    at = 0
    for _ in range(_SCRIPT_VALUES):
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr] # it matches nothing, too
        try:
            data, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        yield data


def _images(data: Any, owners: dict[str, str]) -> Iterator[SharedImage]:
    """The images of a JSON-LD value. No recursion: values nest deeply."""
    # With the name of what each value belongs to, and whether a text there is an image's address.
    left: list[tuple[Any, str, bool]] = [(data, "", False)]
    for _ in range(_VALUES):
        if not left:
            return
        value, name, is_image = left.pop()
        if isinstance(value, list):
            left += [(each, name, is_image) for each in reversed(value)]
        elif isinstance(value, str) and is_image and name:
            yield SharedImage([_address(value)], {"ld:name": name})
        elif isinstance(value, dict):
            value = {property_key(key): each for key, each in reversed(value.items())}
            typed = value.get("@type")
            types = [str(each).lower() for each in (typed if isinstance(typed, list) else [typed])]
            shown = is_image or any(each.endswith(IMAGE_TYPES) for each in types)
            if is_image and name and isinstance(reference := value.get("@id"), str):
                owners.setdefault(reference, name)
            if shown and (image := _image(value, name)):
                yield image
            own = _text(value.get("name")) or _text(value.get("headline")) or name
            for key, each in value.items():
                if key not in OTHERS and isinstance(each, (dict, list, str)):
                    left.append((each, own, key in OF_IMAGE and not shown))


def _image(value: dict[str, Any], owner: str) -> SharedImage | None:
    """An ImageObject with its texts; without any, it has the name of what it belongs to."""
    content, url, own, small = (
        [_address(each) for each in _strings(value.get(name))]
        for name in ("contenturl", "url", "@id", "thumbnailurl")
    )
    # `url` may be the page about an image, and `@id` is mostly a name.
    addresses = [*content, *(each for each in url if not content or is_image_file(each))]
    addresses += [*filter(is_image_file, own), *small]
    texts = {
        "ld:caption": _text(value.get("caption")),
        "ld:description": _text(value.get("description")),
        "ld:name": _text(value.get("name")) or _text(value.get("headline")),
    }
    told = {name: text for name, text in texts.items() if text} or (
        {"ld:name": owner} if owner else {}
    )
    sides = [pixels(each) for name in ("width", "height") for each in _strings(value.get(name))]
    if not addresses:
        return None
    licence = next(iter(_strings(value.get("license"))), "")
    known = [side for side in sides if side is not None]
    return SharedImage(addresses, told, known, licence, next(iter(_strings(value.get("@id"))), ""))


def property_key(name: str) -> str:
    """A property's name in lower case, without `schema:` or the address of its vocabulary."""
    return re.split("[:/#]", name)[-1].lower()


def _strings(value: Any) -> list[str]:
    """The texts of a property: one, several, numbers, or objects that hold one."""
    found = []
    for each in islice(value, 8) if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            names = ("@value", "value", "@id", "url", "contentUrl", "text", "name")
            each = next((each[name] for name in names if name in each), None)
        if isinstance(each, (str, int, float)) and not isinstance(each, bool):
            found.append(str(each))
    return found


def _text(value: Any) -> str:
    return " ".join(unescape(next(iter(_strings(value)), "")).split())


def _address(text: str) -> str:
    # Pages write JSON with the entities of HTML. Others than this one may be parts of a query.
    return text.replace("&amp;", "&")
