"""Encodes records as Kafka messages and decodes them: JSON values and three headers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import TypeVar, cast

from pydantic import ValidationError

from kaption.schemas.faults import one_line
from kaption.schemas.lenient import needs_reading, read_raw_pair
from kaption.schemas.pair import RawPair
from kaption.schemas.plain_json import read_json
from kaption.schemas.record import Position, Versioned

SCHEMA_HEADER = "kaption-schema"
ORIGIN_HEADER = "kaption-origin"
TRACE_HEADER = "traceparent"
UNREADABLE_HEADER = "kaption-unreadable"
"""Of a dead letter's original: its value is a whole batch of the log, of these offsets."""

_VERSION = re.compile(r"[1-9][0-9]{0,5}")
_SUMMARY_CHARS = 2_000

Headers = Iterable[tuple[str, bytes | None]]
R = TypeVar("R", bound=Versioned)


class WireError(ValueError):
    """A message is not a valid record of its topic."""


class SchemaMismatchError(WireError):
    """The schema header names another record, or a version newer than this software."""


class MalformedRecordError(WireError):
    """The value is not valid JSON of the record. The message names the first wrong fields."""


def encode(record: Versioned) -> bytes:
    """The record as UTF-8 JSON, without the fields that have their default value."""
    # `model_dump_json` passes a dozen arguments and makes a str of it, which takes twice as long.
    return record.__pydantic_serializer__.to_json(record, exclude_defaults=True)


def headers_of(
    record: Versioned, origin: Position | None = None, traceparent: str | None = None
) -> list[tuple[str, bytes]]:
    """The Kafka headers of a record.

    `origin` is None only for a record that enters pairs.raw for the first time.
    """
    headers = [(SCHEMA_HEADER, _schema_of(type(record)))]
    if origin is not None:
        headers.append((ORIGIN_HEADER, str(origin).encode()))
    if traceparent is not None:
        headers.append((TRACE_HEADER, traceparent.encode()))
    return headers


@cache
def _schema_of(record_type: type[Versioned]) -> bytes:
    return record_type.schema_name().encode()


def header(headers: Headers, name: str) -> str | None:
    """The last value of a header as text, or None. Raises WireError if it is not UTF-8."""
    found = dict(headers).get(name)
    if found is None:
        return None
    try:
        return found.decode()
    except UnicodeDecodeError as error:
        raise WireError(f"header {name} is not UTF-8: {error}") from error


def decode(value: bytes | None, record_type: type[R], headers: Headers = ()) -> R:
    """Decode one message.

    Producers in other languages may leave the schema header out. If the header is present, it must
    name this record and a version that this software knows. A RawPair is read leniently (see
    `read_raw_pair`): strangers write it. Raises SchemaMismatchError or MalformedRecordError.
    """
    _check_schema(header(headers, SCHEMA_HEADER), record_type)
    if value is None:
        raise MalformedRecordError(
            f"the message is empty (a tombstone), expected a {record_type.__name__}"
        )
    try:
        record = decode_strictly(value, record_type)
    except MalformedRecordError as error:
        if record_type is RawPair:
            return cast("R", _foreign(value, error))
        raise
    if isinstance(record, RawPair) and needs_reading(record):
        return cast("R", read_raw_pair(dict(record)))
    return record


def decode_strictly(value: bytes, record_type: type[R]) -> R:
    """The record of JSON that keeps to the contract. Raises MalformedRecordError."""
    try:
        # `model_validate_json` passes five arguments more, which take a third of its time.
        return cast("R", record_type.__pydantic_validator__.validate_json(value))
    except ValidationError as error:
        raise MalformedRecordError(explain(error, record_type)) from error


def _foreign(value: bytes, strict: MalformedRecordError) -> RawPair:
    try:
        fields = read_json(value)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise strict
    try:
        return read_raw_pair(fields)
    except ValidationError as error:
        raise MalformedRecordError(explain(error, RawPair)) from error
    except ValueError as error:
        why = f"not a valid RawPair: image: {error}"[:_SUMMARY_CHARS]
        raise MalformedRecordError(why) from error


def explain(error: ValidationError, record_type: type[Versioned]) -> str:
    """The first errors of a record in one line, as `one_line` tells them."""
    name = record_type.__name__
    return f"not a valid {name}: {one_line(error, name)}"


def origin_of(headers: Headers, position: Position) -> Position:
    """The record's origin: the one in its header, else its present position."""
    text = header(headers, ORIGIN_HEADER)
    if text is None:
        return position
    try:
        return Position.parse(text)
    except ValueError as error:
        raise WireError(f"header {ORIGIN_HEADER}: {error}") from error


# The same few headers come with every message. An error is not cached: it raises each time.
@lru_cache(maxsize=256)
def _check_schema(named: str | None, record_type: type[Versioned]) -> None:
    if named is None:
        return
    name, _, version = named.partition("/")
    if name != record_type.__name__:
        raise SchemaMismatchError(
            f"message is a {named[:100]!r}, expected {record_type.schema_name()}"
        )
    if not _VERSION.fullmatch(version) or int(version) > record_type.schema_version:
        raise SchemaMismatchError(
            f"message is a {named[:100]!r}, this software reads up to "
            f"{record_type.schema_name()}: update it"
        )
