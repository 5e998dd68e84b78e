"""Reads the values that people give for the fields of a pair: other types, spellings and shapes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kaption.schemas.evidence import DetectedObject, OcrText, OptOutSignal, Tag
from kaption.schemas.limits import LIST_ITEMS, NAME_CHARS, TEXT_CHARS, URL_CHARS
from kaption.schemas.plain_json import whole_characters
from kaption.schemas.record import Record

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_LANGUAGE_CHARS = 35
_WORD_CHARS = 100
"""A text is cut at a space only if the rest is not longer: many scripts have no spaces."""
# Commas of Latin, Arabic, Chinese and Japanese too
_SEPARATORS = re.compile(r"[,;|\n\u060c\u061b\u3001\uff0c\uff1b]")
_LABELS = ("name", "label", "tag", "text", "class", "category")
_TEXTS = ("text", "caption", "raw", "value", "@value", "sentence", "description", "alt", "title")
"""Where an object holds a text: COCO, Flickr30k, JSON-LD and others."""
_DEPTH = 3
_MICROSECONDS, _NANOSECONDS = 10**14, 10**17
"""From here on a number is no count of milliseconds, which ends in the year 5138."""
_MOMENT: TypeAdapter[datetime] = TypeAdapter(datetime)
_NO = ("", "0", "false", "no", "none", "null", "nan")
DECLARED = "declared"
"""The kind of an opt-out signal that is given, but not as a signal."""


class NotUnderstood(ValueError):
    """The value cannot be read as the field's."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a value was read as."""

    value: Any
    doubt: bool = False
    """Whether something of the given value was lost or guessed."""
    keep: bool = True
    """Whether `extra` keeps a doubtful value as it was given."""


def empty(value: Any) -> bool:
    """Whether a value stands for a missing one: null, NaN, an empty text or list."""
    if isinstance(value, float):
        return value != value
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, (list, tuple, dict)) and not value)


def text(value: Any, depth: int = 0) -> Reading:
    """An alt text; of several texts the first. A text above the limit is cut at a space.

    A number is a text, and so is the first text in an object.
    """
    if value is None or (isinstance(value, float) and value != value):
        return Reading("")
    if isinstance(value, (list, tuple)):
        texts = [each for each in value if not empty(each)]
        first = _inner_text(texts[0] if texts else "", depth)
        return Reading(first.value, first.doubt or len(texts) > 1, first.keep or len(texts) > 1)
    if isinstance(value, Mapping):
        named = next((value[name] for name in _TEXTS if not empty(value.get(name))), None)
        if named is None:
            raise NotUnderstood("an object without a text")
        return Reading(_inner_text(named, depth).value, doubt=True)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Reading(str(value), keep=False)
    if not isinstance(value, str):
        raise NotUnderstood("no text")
    whole = whole_characters(value)
    if len(whole) > TEXT_CHARS:
        space = whole.rfind(" ", TEXT_CHARS - _WORD_CHARS, TEXT_CHARS + 1)
        whole = whole[: space if space > 0 else TEXT_CHARS]
    return Reading(whole, whole != value, keep=False)


def _inner_text(value: Any, depth: int) -> Reading:
    if depth == _DEPTH:
        raise NotUnderstood("a text too deep inside")
    return text(value, depth + 1)


def language(value: Any) -> Reading:
    """A language tag; ``en_US`` and ``en_US.UTF-8`` are understood."""
    tag = re.split(r"[.@]", _string(value), maxsplit=1)[0].strip().replace("_", "-")
    if len(tag) > _LANGUAGE_CHARS or not _LANGUAGE.fullmatch(tag):
        raise NotUnderstood("no language tag")
    return Reading(tag)


def moment(value: Any) -> Reading:
    """A time. One without a zone is read as UTC, in doubt."""
    if isinstance(value, bool):
        raise NotUnderstood("no time")
    found: datetime
    known = archive_time(value)
    if isinstance(known, int) and known >= _MICROSECONDS:
        known = known / (10**9 if known >= _NANOSECONDS else 10**6)
    try:
        found = _MOMENT.validate_python(known)
    except ValidationError:
        try:
            found = parsedate_to_datetime(_string(value))  # as in HTTP's headers
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            raise NotUnderstood("no time") from error
    if found.tzinfo is not None:
        return Reading(within_utc(found))
    return Reading(found.replace(tzinfo=UTC), doubt=True)


def within_utc(time: datetime) -> datetime:
    """The time unchanged. Raises NotUnderstood where UTC has no such year, for no table holds it.

    .NET's empty time is 0001-01-01T00:00:00 in the local zone.
    """
    try:
        time.astimezone(UTC)
    except OverflowError as error:
        raise NotUnderstood("no time") from error
    return time


def archive_time(value: Any) -> Any:
    """The 14 digits of web archives (20260102030405) as ISO 8601; other values unchanged.

    As a number of milliseconds they would be a year after 2500.
    """
    digits = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    if re.fullmatch(r"(19|20)[0-9]{12}", digits):
        day, clock = digits[:8], digits[8:]
        return f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}Z"
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return value


def opt_out(value: Any) -> Reading:
    """Opt-out signals. What is no signal still counts as one: its owner meant something."""
    said = value.strip().lower() if isinstance(value, str) else value
    if said is False or said in (0, *_NO) or empty(value):
        return Reading(())
    found, _ = _items(value, OptOutSignal, "kind", split=True)
    if not found:
        shown = whole_characters(json.dumps(value, default=str, ensure_ascii=False))[:TEXT_CHARS]
        found = [OptOutSignal(kind=DECLARED, value=shown)]
    return Reading(tuple(found[:LIST_ITEMS]), doubt=True, keep=False)


def _short(limit: int) -> Callable[[Any], Reading]:
    def read(value: Any) -> Reading:
        given = _string(value)
        found = whole_characters(given)
        if len(found.strip()) > limit:
            raise NotUnderstood(f"more than {limit} characters")
        return Reading(found.strip(), found != given, keep=False)

    return read


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise NotUnderstood("no text")
    return value


def _list_of(kind: type[Record], label: str, *, split: bool) -> Callable[[Any], Reading]:
    def read(value: Any) -> Reading:
        found, whole = _items(value, kind, label, split=split)
        if not found:
            raise NotUnderstood("none of it is understood")
        return Reading(tuple(found[:LIST_ITEMS]), not whole or len(found) > LIST_ITEMS)

    return read


def _items(value: Any, kind: type[Record], label: str, *, split: bool) -> tuple[list[Any], bool]:
    """The items that are understood, and whether these are all, completely."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str):
        given = value.strip()
        if given[:1] in ("[", "{"):
            try:
                value = json.loads(given)
            except (ValueError, RecursionError):
                if split:  # another notation of a list: its parts would be no names
                    return [], False
        if isinstance(value, str):
            value = _SEPARATORS.split(value) if split else [value]
    if isinstance(value, (Mapping, Record)):
        value = [value]
    if not isinstance(value, (list, tuple, set, frozenset)):
        return [], False
    found, whole = [], True
    for each in value:
        if empty(each):
            continue
        item, complete = _item(each, kind, label)
        whole = whole and complete
        if item is not None:
            found.append(item)
    return found, whole


def _item(value: Any, kind: type[Record], label: str) -> tuple[Record | None, bool]:
    """One item, and whether all of it is understood. An optional part that is not is left out."""
    if isinstance(value, kind):
        return value, True
    if isinstance(value, str):
        value = {label: value.strip()}
    if not isinstance(value, Mapping):
        return None, False
    fields = {
        name: whole_characters(each) if isinstance(each, str) else each
        for name, each in value.items()
    }
    if label not in fields:
        other = next((each for each in _LABELS if isinstance(fields.get(each), str)), None)
        fields[label] = fields.pop(other, None)
    complete = fields == value or len(value) == len(fields)
    for _ in range(len(kind.model_fields)):
        try:
            return kind.model_validate(fields), complete
        except ValidationError as error:
            wrong = {fault["loc"][0] for fault in error.errors()}
            if label in wrong:
                return None, False
            fields = {name: each for name, each in fields.items() if name not in wrong}
            complete = False
    return None, False


_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_JOINTS = re.compile(r"[\s.-]+")


def plain_name(name: str) -> str:
    """A column's name as `NAMES` writes it: ``imageUrl`` and ``Image URL`` are ``image_url``."""
    return _JOINTS.sub("_", _CAMEL.sub("_", name.strip())).lower()


URL_NAMES = ("url", "image_url", "img_url", "image_link")
"""What img2dataset, LAION, WebDataset and crawlers call the URL of the image, in lower case."""
NAMES: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "caption", "alt", "alt_text", "txt"),
    "language": ("language", "lang"),
    "licence": ("licence", "license"),
}
"""What they call other fields; the first one that is there counts."""

READERS: Mapping[str, Callable[[Any], Reading]] = {
    "text": text,
    "page_url": _short(URL_CHARS),
    "source": _short(NAME_CHARS),
    "fetched_at": moment,
    "language": language,
    "tags": _list_of(Tag, "name", split=True),
    "ocr": _list_of(OcrText, "text", split=False),
    "objects": _list_of(DetectedObject, "label", split=True),
    "licence": _short(NAME_CHARS),
    "opt_out": opt_out,
}
"""How each field is read. A reader raises NotUnderstood."""
