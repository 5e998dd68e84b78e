"""Reads a raw pair that others wrote: what is optional and not understood goes to `extra`.

`RawPair` itself is the strict contract. Every way in reads through `read_raw_pair`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from kaption.schemas.address import image_address, is_web
from kaption.schemas.image import ImageSource
from kaption.schemas.limits import (
    ALTERNATIVES,
    EXTRA_BYTES,
    EXTRA_DEPTH,
    EXTRA_KEYS,
    LIST_ITEMS,
    NAME_CHARS,
    URL_CHARS,
)
from kaption.schemas.odd_values import NAMES, READERS, URL_NAMES, NotUnderstood, empty, plain_name
from kaption.schemas.pair import IMAGE_URL, RawPair
from kaption.schemas.plain_json import made_plain, whole_characters

_REQUIRED = ("pair_id", "image", "text")
_GIVEN = "_given"
_OTHER_NAMES = (("image", URL_NAMES), *NAMES.items())


def read_raw_pair(fields: Mapping[str, Any]) -> RawPair:
    """The raw pair of these fields. `not_understood` names the fields that did not fit.

    A field that is missing is taken under the names that others give it (`NAMES`). `image` may be
    a string that means a URL or the bytes of a data: URI, never a file. A value that `extra` cannot
    hold is left out. Raises ValueError for an image that is no address, and pydantic's
    ValidationError, which is one too, for the required fields `pair_id`, `image` and `text`.
    """
    given = _named(fields)
    if "image" in given:
        given["image"] = _image(given["image"], given.get("page_url"))
    try:
        return RawPair.model_validate(given)
    except ValidationError:
        return _Fitting(given).pair()


def needs_reading(pair: RawPair) -> bool:
    """Whether `read_raw_pair` may understand more of a valid pair: its image's URL, or a field
    under another name, which the contract has in `extra`.
    """
    if pair.extra and any(True for _ in _other_names(dict(pair))):
        return True
    if pair.image.url is None:
        return False
    urls = (pair.image.url, *pair.image.alternatives)
    return not all(is_web(url) and url == url.strip() for url in urls)


def _other_names(fields: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Each missing field, with the place and the name under which it is given.

    The place is `fields` or its `extra`: to the contract they are one.
    """
    extra = fields.get("extra")
    places = (fields, extra if isinstance(extra, Mapping) else {})
    noted = _names(fields.get("not_understood"))
    for field, names in _OTHER_NAMES:
        if fields.get(field) is not None or field in noted:
            continue
        for place in places:
            there = {
                plain_name(str(name)): name for name in place if name not in RawPair.model_fields
            }
            found = (there[name] for name in names if name in there)
            if (name := next((each for each in found if not empty(place[each])), None)) is not None:
                yield field, place, name
                break


def _named(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, each under its name in RawPair. One that is there under it stays as it is."""
    given = dict(fields)
    for field, place, name in _other_names(fields):
        value = place[name]
        given[field] = {"url": value} if field == "image" and isinstance(value, str) else value
        if place is fields:
            del given[name]
        else:
            given["extra"] = {each: given["extra"][each] for each in given["extra"] if each != name}
    return given


class _Fitting:
    """The fields of a pair, made to fit one by one."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._fields: dict[str, Any] = {}
        self._extra: dict[str, Any] = {}
        self._doubts: list[str] = _names(given.get("not_understood"))
        extra = given.get("extra")
        if isinstance(extra, Mapping):
            for name, value in extra.items():
                self._keep(str(name), value)
        elif not empty(extra):
            self._move("extra", extra)
        for name, value in given.items():
            if name not in RawPair.model_fields:
                self._keep(str(name), value)
            elif name not in ("extra", "not_understood"):
                self._read(name, value)

    def pair(self) -> RawPair:
        """Raises ValidationError with the faults of required fields alone."""
        while True:
            # Each turn moves a field, so it ends.
            doubts = [*self._doubts]
            extra = self._bounded(doubts)
            fields = {
                **self._fields,
                "extra": extra,
                "not_understood": tuple(dict.fromkeys(doubts))[:LIST_ITEMS],
            }
            try:
                return RawPair.model_validate(fields)
            except ValidationError as error:
                wrong = {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}
                movable = wrong & self._fields.keys() - {*_REQUIRED}
                if not movable:
                    raise
                for name in movable:
                    self._move(name, self._fields.pop(name))

    def _read(self, name: str, value: Any) -> None:
        if name == "pair_id":
            self._fields[name] = pair_id_of(value)
        elif name not in READERS:
            self._fields[name] = value
        elif name != "text" and empty(value):
            return
        else:
            try:
                reading = READERS[name](value)
            except NotUnderstood:
                if name == "text":
                    self._fields[name] = ""  # the captioner may find one
                self._move(name, value)
                return
            self._fields[name] = reading.value
            if reading.doubt:
                self._doubts.append(name)
                if reading.keep:
                    self._keep(name, value)

    def _move(self, name: str, value: Any) -> None:
        self._doubts.append(name)
        self._keep(name, value)

    def _keep(self, name: str, value: Any) -> None:
        name = whole_characters(name)
        try:
            value = made_plain(value, EXTRA_DEPTH - 1)
        except (ValueError, RecursionError):
            self._doubts.append("extra")
            return
        while name in self._extra and self._extra[name] != value:
            name += _GIVEN
        self._extra[name] = value

    def _bounded(self, doubts: list[str]) -> dict[str, Any]:
        """What fits into `extra`: the image's URL first, then the smallest values."""
        sizes = {name: _size({name: value}) - 1 for name, value in self._extra.items()}
        left = EXTRA_BYTES - 1
        kept: set[str] = set()
        for name in sorted(self._extra, key=lambda each: (each != IMAGE_URL, sizes[each])):
            if sizes[name] > left or len(kept) == EXTRA_KEYS:
                doubts.append("extra")
                break
            left -= sizes[name]
            kept.add(name)
        return {name: value for name, value in self._extra.items() if name in kept}


def pair_id_of(value: Any) -> Any:
    """A number as text; other values unchanged."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def _names(value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)):
        return []
    return [each for each in value if isinstance(each, str) and 0 < len(each) <= NAME_CHARS]


_ADDRESS_NAMES = ("src", "href", "contentUrl", "content_url", "image_url", "link", "path")


def _image(image: Any, page_url: Any) -> Any:
    """The image with its address understood. Raises ValueError for a string that is no address.

    A URL in an object that is no address stays as it is: ingest refuses it with a reason.
    """
    if isinstance(image, (list, tuple)) and len(image) == 1:
        (image,) = image
    if isinstance(image, str):
        return _source(image_address(image, page_url))
    if not isinstance(image, (ImageSource, Mapping)):
        return image
    fields = dict(image)
    if all(fields.get(name) is None for name in ("url", "inline", "blob")):
        # As JSON-LD, pages and Hugging Face's data sets name it. A path is none of these.
        others = (fields.get(name) for name in _ADDRESS_NAMES)
        fields["url"] = next(filter(is_web, others), None)
    others = fields.pop("alternatives", None)
    if isinstance(others, (list, tuple)):
        sources = [_source_of_url(each, page_url) or {} for each in others]
        urls = [each["url"] for each in sources if 0 < len(each.get("url", "")) <= URL_CHARS]
        fields["alternatives"] = urls[:ALTERNATIVES]
    if fields.get("inline") is None and fields.get("blob") is None:
        return fields | (_source_of_url(fields.get("url"), page_url) or {})
    blob = fields.get("blob")
    if isinstance(blob, Mapping):
        kind = blob.get("media_type")
        if "media_type" in blob and not (isinstance(kind, str) and 0 < len(kind) <= NAME_CHARS):
            fields["blob"] = {name: each for name, each in blob.items() if name != "media_type"}
    return fields


def _source_of_url(url: Any, page_url: Any) -> dict[str, Any] | None:
    try:
        return _source(image_address(url, page_url)) if isinstance(url, str) else None
    except ValueError:
        return None


def _source(address: str | bytes) -> dict[str, Any]:
    return {"url": address} if isinstance(address, str) else {"url": None, "inline": address}
