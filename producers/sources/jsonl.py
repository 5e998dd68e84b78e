"""Pairs from a file of JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pydantic_core import from_json

from kaption.producers.sources._pair import cursor, pair_of, parts_of
from kaption.producers.sources.source import (
    RAW_BYTES,
    Found,
    Item,
    LocalSource,
    SourceError,
    Unreadable,
)


class Jsonl(LocalSource):
    """One pair per line; empty lines are skipped.

    The fields are those of RawPair, with two short forms: `image` may be a string, which is a URL
    or a path relative to the file, and `pair_id` may be missing.

    A cursor is the offset of the next line in bytes, and the number of lines before it. Lines that
    are appended later are read by the next run.
    """

    def __init__(self, location: str) -> None:
        super().__init__(location)

    @classmethod
    def recognises(cls, location: str) -> bool:
        """By its name."""
        return "://" not in location and location.lower().endswith((".jsonl", ".ndjson"))

    def _read(self, after: str | None) -> Iterator[Found]:
        with self._path.open("rb") as file:
            offset, number = parts_of(after, int, int)
            if not _begins_line(file, offset):
                raise SourceError(
                    f"{self._path} has changed since it was read up to line {number}: "
                    "--from-start publishes all of it"
                )
            yield from self._lines(file, offset, number)

    def _lines(self, file: BinaryIO, offset: int, number: int) -> Iterator[Found]:
        while line := file.readline(RAW_BYTES + 2):
            number += 1
            offset += len(line)
            raw = line.rstrip(b"\r\n")
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            place = f"{self._path.name}:{number}"
            if len(raw) > RAW_BYTES:
                skipped, length = _skip_line(file, line)
                offset += skipped
                why = (
                    f"the line has {len(raw) + length} bytes, the limit is {RAW_BYTES}: give large "
                    "images by URL or path"
                )
                yield Found(Unreadable(place, raw[:RAW_BYTES], why), cursor(offset, number))
            elif raw.strip():
                yield Found(_pair(raw, place, self._path.parent), cursor(offset, number))


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


def _pair(raw: bytes, place: str, folder: Path) -> Item:
    try:
        fields = from_json(raw)
    except ValueError as error:
        return Unreadable(place, raw, f"not JSON: {error}")
    if not isinstance(fields, dict):
        return Unreadable(place, raw, "not a JSON object")
    return pair_of(fields, place, raw, folder)
