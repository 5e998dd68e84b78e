"""Makes a pair of what a source has found, or an Unreadable with the reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kaption.producers.errors import SourceError, TooLargeError
from kaption.producers.identity import identified
from kaption.producers.image import image_source
from kaption.producers.sources._files import text_in
from kaption.producers.sources.source import CURSOR_CHARS, Item, Large, Unreadable
from kaption.schemas import RawPair
from kaption.schemas.address import is_web
from kaption.schemas.limits import INLINE_IMAGE_BYTES, RAW_BYTES
from kaption.schemas.odd_values import NAMES, READERS, NotUnderstood, empty, plain_name
from kaption.schemas.pair import IMAGE_URL
from kaption.schemas.plain_json import read_json
from kaption.schemas.wire import explain

IMAGES = frozenset(
    ("avif", "bmp", "gif", "heic", "jfif", "jpeg", "jpg", "png", "tif", "tiff", "webp")
)
"""Name endings of images, in lower case."""

TEXT_NAMES = NAMES["text"]
"""Names of a text's column; the first one that exists is taken."""
_NOTHING = frozenset(("?", "nan", "NaN", "<NA>", "None", "null", "NULL", "\\N", "[]", "{}"))
"""How data frames and databases write a missing value into a text file."""
_ADDRESSES = (IMAGE_URL, "url", "img_url", "image_link")
"""Names of the column with the image's URL when the row holds the image itself."""


def pair_of(
    fields: Mapping[str, Any], place: str, raw: bytes | None = None, folder: Path | None = None
) -> Item:
    """The pair of the fields, a Large one if its image needs the blob store, or an Unreadable.

    `image` may be bytes, a Path, or a string as in `image_source`: a file only below `folder`. If
    the image itself is given, its URL goes to `extra`, under the name by which takedowns find it.
    An Unreadable holds `raw`, or the fields as JSON if there are no raw bytes.
    """
    large: tuple[RawPair, bytes] | None = None
    incomplete = False
    try:
        image, content = fields.get("image"), None
        given = fields
        if isinstance(image, (str, bytes, Path)):
            found, content = image_source(image, fields.get("page_url"), folder)
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
        incomplete = any(each["loc"][:1] in (("image",), ("text",)) for each in error.errors())
    except (OSError, ValueError) as error:
        why = str(error)
        incomplete = not isinstance(error, TooLargeError)
    if raw is None:
        raw = json.dumps(fields, default=_shown, ensure_ascii=False).encode(errors="replace")
    unreadable = Unreadable(place, raw[:RAW_BYTES], why, incomplete)
    return unreadable if large is None else Large(*large, unreadable)


def known_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row under the names of RawPair's fields.

    Known are the names that img2dataset, LAION and WebDataset use, in any spelling of `plain_name`.
    Empty values are left out, except an empty text. A value that is not understood, and a second
    column for the same field with another value, go to `extra` under their own names.
    """
    named = {plain_name(name): name for name in row}
    rest = {name: value for name, value in row.items() if not _missing(value)}
    fields: dict[str, Any] = {}
    doubts: list[str] = []
    for field, names in NAMES.items():
        for name in (named[each] for each in names if named.get(each) in rest):
            try:
                reading = READERS[field](rest[name])
            except NotUnderstood:
                doubts.append(field)
                continue
            if fields.setdefault(field, reading.value) != reading.value:
                continue
            if reading.doubt:
                doubts.append(field)
            if not reading.doubt or not reading.keep:
                del rest[name]
    if any(name in named for name in TEXT_NAMES):
        fields.setdefault("text", "")
    extra = rest.pop("extra", {})
    own = {name: rest.pop(name) for name in NAMES if name in rest}
    if own or doubts:
        fields["extra"] = {**own, **(extra if isinstance(extra, Mapping) else {"extra": extra})}
        fields["not_understood"] = tuple(dict.fromkeys(doubts))
    elif extra:
        fields["extra"] = extra
    return {**rest, **fields}


def described(
    name: str, content: bytes | None, text: bytes | None, source: str | None
) -> dict[str, Any]:
    """The fields of an image, from the JSON `name` and the text beside it.

    Beside a text the JSON is optional: what is no object goes to `extra`. Without one it holds the
    text, and ValueError is raised.
    """
    fields: dict[str, Any] = {}
    if content is not None:
        try:
            given, why = read_json(content), f"{name} is not a JSON object"
        except ValueError as error:
            given, why = None, str(error)
        if isinstance(given, dict):
            fields = known_fields({key: each for key, each in given.items() if key != "image"})
        elif text is None:
            raise ValueError(why)
        else:
            fields = {
                "extra": {"json": content.decode(errors="replace")},
                "not_understood": ("extra",),
            }
    if text is not None:
        fields["text"] = text_in(text).strip()
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
    named = {plain_name(name): name for name in fields}
    names = (named[each] for each in _ADDRESSES if each in named)
    name = next((each for each in names if is_web(fields[each])), IMAGE_URL)
    if name == IMAGE_URL:
        return fields
    rest = {each: value for each, value in fields.items() if each != name}
    if IMAGE_URL in rest:
        rest[f"{IMAGE_URL}_given"] = rest.pop(IMAGE_URL)
    return {**rest, IMAGE_URL: fields[name]}


def _missing(value: Any) -> bool:
    # LAION writes a question mark for a licence.
    if isinstance(value, (list, dict, tuple)):
        return False
    return empty(value) or (isinstance(value, str) and value.strip() in _NOTHING)


def _shown(value: object) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
