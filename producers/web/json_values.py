"""Reads the addresses of images from JSON in an attribute, such as ``{"/a.jpg": [900, 600]}``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from html import unescape
from itertools import islice
from typing import Any, NamedTuple

from kaption.producers.web.document import pixels
from kaption.producers.web.signs import attribute_address, names_another, size_named
from kaption.producers.web.srcset import Candidate, srcset

_CHARS = 64 * 1024
"""Longer values are the data of a whole page."""
_DEPTH = 4
_ENTRIES = 64
_WIDTH = re.compile(r"([0-9]{2,4})(?:w|px)?")
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


class JsonImage(NamedTuple):
    """An image in a value of JSON."""

    candidate: Candidate
    sized: bool
    """Whether the value calls it one size of an image. Else it may be one of several images."""


class _Above(NamedTuple):
    """What the keys and lists above a value say."""

    width: int = 0
    density: float = 1.0
    sized: bool = False
    several: bool = False


def json_images(value: str) -> Iterator[JsonImage]:
    """The images in an attribute's value; none if it is no JSON.

    Sizes of one image have their addresses or their sizes as keys: ``{"/a.jpg": [900, 600]}``,
    ``{"large": "/a.jpg"}``. A list may hold several images.
    """
    value = value.strip()
    if value[:1] not in ("{", "[") or len(value) > _CHARS:
        return
    # As scripts write it, and with entities written twice.
    for written in (value, value.replace("'", '"'), unescape(value)):
        with suppress(ValueError, RecursionError):
            yield from islice(_images(json.loads(written), _Above(), _DEPTH), _ENTRIES)
            return


def _images(data: Any, above: _Above, depth: int) -> Iterator[JsonImage]:
    if isinstance(data, str):
        for each in islice(srcset(data), _ENTRIES):
            if _is_image(each.address):
                found = replace(each, width=each.width or above.width, density=above.density)
                yield JsonImage(found, (above.sized or each.width > 0) and not above.several)
    elif isinstance(data, list) and depth:
        sizes = [one for each in data if isinstance(each, str) for one in srcset(each)]
        one = len(data) == 1 or (sizes and all(each.width for each in sizes))
        above = above._replace(several=above.several or not one)
        for each in data[:_ENTRIES]:
            yield from _images(each, above, depth - 1)
    elif isinstance(data, dict) and depth:
        above = above._replace(width=_width(data.get("width")) or above.width)
        for key, each in islice(data.items(), _ENTRIES):
            words = _CAPITAL.sub("-", key).lower()
            if _is_image(key):
                yield JsonImage(Candidate(key, _width(each)), not above.several)
            elif not names_another(words):
                yield from _images(each, _named(words, each, above), depth - 1)


def _named(words: str, value: Any, above: _Above) -> _Above:
    """What a key adds: the width of a file that has it in its name, or a size."""
    number = _WIDTH.fullmatch(words)
    if number and isinstance(value, str) and number[1] in value:
        return above._replace(width=int(number[1]), sized=True)
    size = size_named(words)
    return above if size == 1 else above._replace(density=size, sized=True)


def _is_image(address: str) -> bool:
    # A name says nothing here: below `image` stand links, too.
    return attribute_address("", address) is not None


def _width(value: Any) -> int:
    """A width in pixels as a number, as ``900w``, or first of a list; 0 if it is none."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        value = value.get("width")
    if isinstance(value, str):
        return pixels(value.strip().removesuffix("w")) or 0
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return int(value) if number and 0 < value < 100_000 else 0
