"""What a source has found, made a pair; or said why it is none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kaption.producers.identity import identified
from kaption.producers.image import image_source, is_url
from kaption.producers.sources.source import (
    CURSOR_CHARS,
    RAW_BYTES,
    Item,
    Large,
    SourceError,
    Unreadable,
)
from kaption.schemas import RawPair
from kaption.schemas.limits import INLINE_IMAGE_BYTES
from kaption.schemas.pair import IMAGE_URL
from kaption.schemas.wire import explain

IMAGES = frozenset(
    ("avif", "bmp", "gif", "heic", "jfif", "jpeg", "jpg", "png", "tif", "tiff", "webp")
)
"""Name endings of images, in lower case."""

TEXT_NAMES = ("text", "caption", "alt", "alt_text", "txt")
"""What columns of texts are called, the best first."""
_NAMES: Mapping[str, tuple[str, ...]] = {
    "text": TEXT_NAMES,
    "language": ("language", "lang"),
    "licence": ("licence", "license"),
}
_ADDRESSES = (IMAGE_URL, "url", "img_url", "image_link")
"""What the address of an image that is there itself is called."""
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")


def pair_of(
    fields: Mapping[str, Any], place: str, raw: bytes | None = None, folder: Path = Path()
) -> Item:
    """A pair of the fields; a string as `image` is a URL, or a path below `folder`.

    The address of an image that is there itself is kept where takedowns look for it.

    What is none comes back with `raw`, or with the fields as JSON where there are no bytes.
    """
    large: tuple[RawPair, bytes] | None = None
    try:
        image, content = fields.get("image"), None
        given = fields
        if isinstance(image, (str, bytes)):
            found, content = image_source(image, folder)
            given = {**(fields if found.url else _addressed(fields)), "image": found}
        pair = identified(given)
        if content is None:
            return pair
        large = pair, content
        why = (
            f"its image has {len(content)} bytes, an inline image at most {INLINE_IMAGE_BYTES}: "
            "set store.url to the store that the workers have, or make it smaller"
        )
    except ValidationError as error:
        why = explain(error, RawPair)
    except (OSError, ValueError) as error:
        why = str(error)
    if raw is None:
        raw = json.dumps(fields, default=_shown, ensure_ascii=False).encode(errors="replace")
    unreadable = Unreadable(place, raw[:RAW_BYTES], why)
    return unreadable if large is None else Large(*large, unreadable)


def known_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row under the names of RawPair, whatever data sets call its columns.

    The names that img2dataset, LAION and WebDataset use are known, in upper or lower case. Empty
    values are left out, but an empty text is a text. What is no language tag, and columns that mean
    the same but say something else, are kept under names of their own.
    """
    named = {name.lower(): name for name in row}
    rest = {name: value for name, value in row.items() if not _empty(value)}
    fields: dict[str, Any] = {}
    for field, names in _NAMES.items():
        for name in (named[each] for each in names if named.get(each) in rest):
            if field == "language" and not _is_language(rest[name]):
                continue
            if fields.setdefault(field, rest[name]) == rest[name]:
                del rest[name]
    if any(name in named for name in TEXT_NAMES):
        fields.setdefault("text", "")
    twice = {name: f"{name}_given" for name in _NAMES if name in rest}
    return {**{twice.get(name, name): value for name, value in rest.items()}, **fields}


def cursor(*parts: object) -> str:
    """Parts of a cursor as one string. Raises SourceError where a name is too long for it."""
    text = json.dumps(parts, separators=(",", ":"))
    if len(text) > CURSOR_CHARS:
        raise SourceError(f"the name {text[:200]}... is too long to remember: shorten it")
    return text


def parts_of(after: str, *types: type) -> list[Any]:
    """The parts again. Raises SourceError where it is no cursor of these types."""
    try:
        parts = json.loads(after)
    except ValueError:
        parts = None
    if not isinstance(parts, list) or [type(part) for part in parts] != list(types):
        raise SourceError(
            f"the checkpoint {after[:100]!r} is not one of this source: --from-start ignores it"
        )
    return parts


def _addressed(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the image's address under the one name, where there is any."""
    extra = fields.get("extra")
    if isinstance(extra, dict) and IMAGE_URL in extra:
        return fields
    named = {name.lower(): name for name in fields}
    names = (named[each] for each in _ADDRESSES if each in named)
    name = next((each for each in names if is_url(fields[each])), IMAGE_URL)
    if name == IMAGE_URL:
        return fields
    rest = {each: value for each, value in fields.items() if each != name}
    if IMAGE_URL in rest:
        rest[f"{IMAGE_URL}_given"] = rest.pop(IMAGE_URL)
    return {**rest, IMAGE_URL: fields[name]}


def _empty(value: Any) -> bool:
    # Data frames write NaN where there is nothing, and LAION a question mark for licences.
    return value is None or value in ("", "?") or value != value


def _is_language(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 35 and _LANGUAGE.fullmatch(value) is not None


def _shown(value: object) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
