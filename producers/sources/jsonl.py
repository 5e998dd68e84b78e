"""Pairs from a file of JSON lines, or from a JSON array."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, BinaryIO, NamedTuple

from kaption.producers.errors import SourceError
from kaption.producers.sources._beginning import begun, refusal
from kaption.producers.sources._columns import ADVICE, Columns, folder_named
from kaption.producers.sources._files import PACKED, moved_to, opened_text
from kaption.producers.sources._json_values import Shape, joined_values, shape_of, values_of
from kaption.producers.sources._pair import cursor, parts_of
from kaption.producers.sources._rows import Row
from kaption.producers.sources.source import Found, Item, LocalSource, Unreadable
from kaption.schemas.limits import RAW_BYTES
from kaption.schemas.plain_json import read_json

_SUFFIXES = tuple(f"{name}{each}" for name in (".jsonl", ".ndjson", ".json") for each in PACKED)
_DAMAGED = 20
"""Lines without a single object among them after which a file is refused."""
_MARK = b"\xef\xbb\xbf"
# JSON text sequences (RFC 7464) begin each record with it.
_RECORD_SEPARATOR = b"\x1e"
_LAST_COMMA = re.compile(rb",(?=\s*\}\Z)")
# One object behind another on a line: a writer ended before its line break.
_JOINED = re.compile(rb"\}\s*,?\s*\{")
_PYTHON_CHARS = 10_000


class _Record(NamedTuple):
    """One record: its bytes, its place for people, the cursor behind it, and what is wrong."""

    raw: bytes
    place: str
    cursor: str
    error: str | None = None


class Jsonl(LocalSource):
    """One pair per line; empty lines are skipped.

    A file may also be an array, an object with lists of pairs in it, such as ``{"data": [...]}``,
    or objects that go over several lines.

    Names are found as in `Table`: those of RawPair, and url, caption and the like; `image_column`
    and `text_column` give other names. `image` may be a string: a URL, a data: URI, or a path below
    `image_folder`, by default the file's own folder. `pair_id` may be missing. `source` is the name
    of the data set. The file may be compressed with gzip, bzip2, xz or zstd, and is in UTF-8 or in
    what a byte order mark or `encoding` says.

    A cursor is the offset of the next line or value in bytes, and the number of lines or values
    before it. Lines that are appended later are read by the next run.
    """

    def __init__(
        self,
        location: str,
        *,
        image_column: str | None = None,
        text_column: str | None = None,
        image_folder: str | None = None,
        encoding: str | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(location)
        self._encoding = encoding
        folder = folder_named(image_folder) or self._path.parent
        self._columns = Columns(image_column, text_column, source, folder=folder)

    @classmethod
    def recognises(cls, location: str) -> bool:
        """Whether its name ends as that of a JSON file."""
        return "://" not in location and location.lower().endswith(_SUFFIXES)

    def _read(self, after: str | None) -> Iterator[Found]:
        with opened_text(self._path, self._encoding) as file:
            offset, number = parts_of(after, int, int)
            shape = shape_of(file, self._columns.any_known)
            if shape is Shape.LINES:
                if not _begins_line(file, offset):
                    raise self._changed(number)
                found = self._lines(file, offset, number)
            else:
                found = self._values(file, shape, offset, number)
            items = (Found(self._item(each), each.cursor, each.place) for each in found)
            yield from items if after is not None else self._begun(found, items)

    def _begun(self, found: Iterator[_Record], items: Iterator[Found]) -> Iterator[Found]:
        first = next(found, None)
        if first is None:
            return
        self._refuse_other_forms(first)
        item = Found(self._item(first), first.cursor, first.place)
        yield from begun(chain([item], items), self._refuse)

    def _refuse(self, lacking: Sequence[Found]) -> None:
        fields = [_fields(each.item.raw) for each in lacking if isinstance(each.item, Unreadable)]
        names = {name: None for each in fields for name in each}
        pairs = len(lacking) - fields.count({})
        if not pairs:
            # Some damaged lines alone may be a test, or the end of a file that was cut.
            if len(lacking) >= _DAMAGED:
                raise refusal(self._path, lacking, "name the format that it has with --format")
            return
        # One record without an image or a text may be damaged: it becomes a dead letter.
        if pairs == 1 and self._columns.any_known(names):
            return
        if len(fields) == len(lacking):
            self._columns.check(self._path, names)
        raise refusal(self._path, lacking, ADVICE)

    def _refuse_other_forms(self, first: _Record) -> None:
        fields = _fields(first.raw) if first.error is None else {}
        if any(isinstance(each, dict) and "0" in each for each in fields.values()):
            raise SourceError(
                f"{self._path} holds columns, not records: write it with"
                " DataFrame.to_json(orient='records', lines=True)"
            )
        if not fields and _is_python(first):
            raise SourceError(
                f"{self._path} holds dictionaries as Python prints them, not JSON: write each with"
                " json.dumps"
            )

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
            elif _JOINED.search(raw) and (ends := joined_values(raw)):
                # The cursor lies inside the line, and the line is not counted before its end.
                begin = offset - len(line) + line.index(raw)
                for start, end in pairwise((0, *ends)):
                    last = end == ends[-1]
                    at = cursor(offset, number) if last else cursor(begin + end, number - 1)
                    yield _Record(raw[start:end], place, at)
            elif raw.strip():
                yield _Record(raw, place, cursor(offset, number))

    def _values(self, file: BinaryIO, shape: Shape, offset: int, number: int) -> Iterator[_Record]:
        if not moved_to(file, offset):
            raise self._changed(number)
        try:
            for raw, end in values_of(file, shape, offset, self._columns.any_known):
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
            fields = _read(raw)
        except ValueError as error:
            return Unreadable(place, raw, f"not JSON: {error}", incomplete=True)
        if not isinstance(fields, dict):
            return Unreadable(place, raw, "not a JSON object", incomplete=True)
        return self._columns.pair(Row(place, fields, raw, None, 0, 0))


def _read(raw: bytes) -> Any:
    """As `read_json`. A comma behind the record, or behind its last value, is passed over."""
    try:
        return read_json(raw)
    except ValueError:
        plain = raw.strip(_RECORD_SEPARATOR + b", \t\r\n;")
        return read_json(_LAST_COMMA.sub(b"", plain))


def _is_python(found: _Record) -> bool:
    """Whether it is a dictionary as Python writes it, with single quotes, None and True."""
    text = found.raw[:_PYTHON_CHARS].decode(errors="replace").strip()
    if not text.startswith("{'"):
        return False
    try:
        return isinstance(ast.literal_eval(text), dict)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _fields(raw: bytes) -> dict[str, Any]:
    """A record's fields; none for what is no object."""
    try:
        fields = _read(raw)
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
    return whole and (
        offset == 0 or before in (b"\n", b"}") or at in (b"", b"\r\n") or at[:1] == b"\n"
    )


def _skip_line(file: BinaryIO, line: bytes) -> tuple[int, int]:
    """Seek to the next line; returns the bytes skipped, with and without the line break."""
    skipped = length = 0
    while line and not line.endswith(b"\n"):
        line = file.readline(1024 * 1024)
        skipped += len(line)
        length += len(line.rstrip(b"\r\n"))
    return skipped, length
