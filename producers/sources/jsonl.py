"""Pairs from a file of JSON lines, or from a JSON array."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from kaption.producers.sources._columns import Columns
from kaption.producers.sources._files import moved_to, opened_text
from kaption.producers.sources._pair import cursor, parts_of
from kaption.producers.sources._rows import Row
from kaption.producers.sources.source import (
    RAW_BYTES,
    Found,
    Item,
    LocalSource,
    SourceError,
    Unreadable,
)
from kaption.schemas.plain_json import read_json

_SUFFIXES = tuple(
    f".{name}{packed}" for name in ("jsonl", "ndjson", "json") for packed in ("", ".gz")
)
_FIRST_RECORDS = 20
"""Objects after which a file whose names match nothing is refused."""
_FIRST_BYTES = 2 * RAW_BYTES
"""They are held in memory until then, up to this size and one line."""
_MARK = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_BLANK = re.compile(r"[ \t\r\n]*")
_CHUNK = 1024 * 1024


class _Record(NamedTuple):
    """One record: its bytes, its place for people, the cursor behind it, and what is wrong."""

    raw: bytes
    place: str
    cursor: str
    error: str | None = None


class Jsonl(LocalSource):
    """One pair per line; empty lines are skipped. A file that begins with ``[`` is an array.

    Names are found as in `Table`: those of RawPair, and url, caption and the like; `image_column`
    and `text_column` give other names. `image` may be a string: a URL, a data: URI, or a path below
    the file's folder. `pair_id` may be missing. `source` is the name of the data set. The file may
    be in UTF-8, UTF-16 or UTF-32, and compressed with gzip.

    A cursor is the offset of the next line (in an array: of the next value) in bytes, and the
    number of lines before it. Lines that are appended later are read by the next run.
    """

    def __init__(
        self,
        location: str,
        *,
        image_column: str | None = None,
        text_column: str | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(location)
        self._columns = Columns(image_column, text_column, source, folder=self._path.parent)

    @classmethod
    def recognises(cls, location: str) -> bool:
        """By its name."""
        return "://" not in location and location.lower().endswith(_SUFFIXES)

    def _read(self, after: str | None) -> Iterator[Found]:
        with opened_text(self._path) as file:
            offset, number = parts_of(after, int, int)
            if _is_array(file):
                found = self._array(file, offset, number)
            else:
                if not _begins_line(file, offset):
                    raise self._changed(number)
                found = self._lines(file, offset, number)
            if after is None:
                found = self._checked(found)
            for each in found:
                yield Found(self._item(each), each.cursor)

    def _checked(self, found: Iterator[_Record]) -> Iterator[_Record]:
        """The same records. Raises SourceError if the names of the first objects match nothing."""
        first: list[_Record] = []
        records: list[dict[str, Any]] = []
        for each in found:
            fields = _fields(each)
            if not fields and not records:
                yield each
                continue
            first.append(each)
            if fields:
                records.append(dict.fromkeys(fields))
            size = sum(len(one.raw) for one in first)
            if len(records) == _FIRST_RECORDS or size >= _FIRST_BYTES:
                break
        names = {name: None for each in records for name in each}
        # One record without an image or a text may be damaged: it becomes a dead letter.
        enough = len(records) > 1 or (records and not self._columns.any_known(names))
        if enough and not any(self._columns.known(each) for each in records):
            self._columns.check(self._path, names)
        yield from first
        yield from found

    def _lines(self, file: BinaryIO, offset: int, number: int) -> Iterator[_Record]:
        while line := file.readline(RAW_BYTES + 2):
            number += 1
            offset += len(line)
            raw = line.rstrip(b"\r\n")
            if number == 1:
                raw = raw.removeprefix(_MARK)
            place = f"{self._path.name}:{number}"
            if len(raw) > RAW_BYTES:
                skipped, length = _skip_line(file, line)
                offset += skipped
                why = (
                    f"the line has {len(raw) + length} bytes, the limit is {RAW_BYTES}: give large "
                    "images by URL or path"
                )
                yield _Record(raw[:RAW_BYTES], place, cursor(offset, number), why)
            elif raw.strip():
                yield _Record(raw, place, cursor(offset, number))

    def _array(self, file: BinaryIO, offset: int, number: int) -> Iterator[_Record]:
        mark = 0 if offset else _mark(file)
        if not moved_to(file, offset or mark):
            raise self._changed(number)
        try:
            for raw, end in _values(file, offset, mark):
                number += 1
                yield _Record(raw, f"{self._path.name}:{number}", cursor(end, number))
        except SourceError as error:
            raise SourceError(f"{self._path}, value {number + 1}: {error}") from error

    def _changed(self, number: int) -> SourceError:
        return SourceError(
            f"{self._path} has changed since it was read up to line {number}: "
            "--from-start publishes all of it"
        )

    def _item(self, found: _Record) -> Item:
        raw, place = found.raw, found.place
        if found.error is not None:
            return Unreadable(place, raw, found.error)
        try:
            fields = read_json(raw)
        except ValueError as error:
            return Unreadable(place, raw, f"not JSON: {error}")
        if not isinstance(fields, dict):
            return Unreadable(place, raw, "not a JSON object")
        return self._columns.pair(Row(place, fields, raw, None, 0, 0))


def _fields(found: _Record) -> dict[str, Any]:
    """A record's fields; none for what is no object."""
    try:
        fields = read_json(found.raw) if found.error is None else None
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _begins_line(file: BinaryIO, offset: int) -> bool:
    """Whether a line begins or ends at `offset`; seeks to `offset`."""
    file.seek(max(0, offset - 1))
    before = file.read(min(offset, 1))
    # A last line may have had no line break yet: what is appended then begins with one.
    at = file.read(2)
    file.seek(offset)
    whole = len(before) == min(offset, 1)
    return whole and (offset == 0 or before == b"\n" or at in (b"", b"\r\n") or at[:1] == b"\n")


def _skip_line(file: BinaryIO, line: bytes) -> tuple[int, int]:
    """Seek to the next line; returns the bytes skipped, with and without the line break."""
    skipped = length = 0
    while line and not line.endswith(b"\n"):
        line = file.readline(1024 * 1024)
        skipped += len(line)
        length += len(line.rstrip(b"\r\n"))
    return skipped, length


def _mark(file: BinaryIO) -> int:
    """The bytes of the byte order mark."""
    file.seek(0)
    return len(_MARK) if file.read(len(_MARK)) == _MARK else 0


def _is_array(file: BinaryIO) -> bool:
    """Whether the file begins with ``[`` and then an object, as no line of a pair does."""
    start = file.read(4096).removeprefix(_MARK).lstrip(_SPACE)
    file.seek(0)
    return start[:1] == b"[" and start[1:].lstrip(_SPACE)[:1] in (b"{", b"]")


def _values(file: BinaryIO, offset: int, mark: int) -> Iterator[tuple[bytes, int]]:
    """The values of an array behind `offset`, each with the offset behind it.

    `mark` is the length of the byte order mark before an array that is read from its start.

    Raises SourceError where it is no array of values that fit into a message.
    """
    # Latin-1 keeps one character for each byte. The structure of JSON is ASCII.
    decoder = json.JSONDecoder(parse_int=str, strict=False)
    buffer, at, start = "", 0, offset or mark
    expected = "," if offset else "["

    def more() -> bool:
        nonlocal buffer
        part = file.read(max(_CHUNK, len(buffer)))
        buffer += part.decode("latin-1")
        return bool(part)

    def peek() -> str:
        nonlocal at
        while True:
            at = _BLANK.match(buffer, at).end()  # type: ignore[union-attr] # matches nothing too
            if at < len(buffer):
                return buffer[at]
            if not more():
                raise SourceError(f"the array ends at byte {start + at} without a ]")

    while (found := peek()) != "]":
        if found != expected:
            raise SourceError(f"no {expected!r} but {found!r} at byte {start + at} of the array")
        at, expected = at + 1, ","
        if peek() == "]":
            return
        while True:
            try:
                _, end = decoder.raw_decode(buffer, at)
                break
            except (ValueError, RecursionError) as error:
                if len(buffer) - at > RAW_BYTES or not more():
                    raise SourceError(
                        f"the value at byte {start + at} of the array is not JSON or larger than "
                        f"{RAW_BYTES} bytes: {error}"
                    ) from error
        raw, at = buffer[at:end].encode("latin-1"), end
        yield raw, start + end
        if at > _CHUNK:
            buffer, start, at = buffer[at:], start + at, 0
