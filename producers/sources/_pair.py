"""Makes a pair of what a source has found, or an Unreadable with the reason."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

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
"""Names of a text's column; the first one that exists is taken."""
_NAMES: Mapping[str, tuple[str, ...]] = {
    "text": TEXT_NAMES,
    "language": ("language", "lang"),
    "licence": ("licence", "license"),
}
_ADDRESSES = (IMAGE_URL, "url", "img_url", "image_link")
"""Names of the column with the image's URL when the row holds the image itself."""
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")


def pair_of(
    fields: Mapping[str, Any], place: str, raw: bytes | None = None, folder: Path = Path()
) -> Item:
    """The pair of the fields, a Large one if its image needs the blob store, or an Unreadable.

    A string as `image` is a URL, or a path relative to `folder`. If the image itself is given, its
    URL goes to `extra`, under the name by which takedowns find it. An Unreadable holds `raw`, or
    the fields as JSON if there are no raw bytes.
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
    """The values of a row under the names of RawPair's fields.

    Known are the names that img2dataset, LAION and WebDataset use, in upper or lower case. Empty
    values are left out, except an empty text. A language that is no language tag, and a second
    column for the same field with another value, keep their own names; if that is the field's name,
    ``_given`` is added.
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


def described(
    name: str, content: bytes | None, text: bytes | None, source: str | None
) -> dict[str, Any]:
    """The fields of an image, from the JSON `name` and the text beside it. Raises ValueError."""
    given: Any = from_json(content) if content is not None else {}
    if not isinstance(given, dict):
        raise ValueError(f"{name} is not a JSON object")  # noqa: TRY004 - it is the file that is wrong
    fields = known_fields({key: each for key, each in given.items() if key != "image"})
    if text is not None:
        fields["text"] = text.decode(errors="replace").strip()
    if source is not None:
        fields.setdefault("source", source)
    return fields


def cursor(*parts: object) -> str:
    """A cursor of these parts. Raises SourceError if it becomes too long."""
    text = json.dumps(parts, separators=(",", ":"))
    if len(text) > CURSOR_CHARS:
        raise SourceError(f"the name {text[:200]}... is too long to remember: shorten it")
    return text


def parts_of(after: str | None, *types: type) -> list[Any]:
    """The parts of the cursor `after`; without one, an empty string or 0 for each part.

    Raises SourceError if the parts have other types.
    """
    if after is None:
        return [kind() for kind in types]
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
    """The fields, with the image's URL renamed to IMAGE_URL if there is one."""
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
    # Data frames write NaN for a missing value, and LAION a question mark for a licence.
    return value is None or value in ("", "?") or value != value


def _is_language(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 35 and _LANGUAGE.fullmatch(value) is not None


def _shown(value: object) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
