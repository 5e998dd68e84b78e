"""Rows of a CSV file, each with the offset of the next row; a damaged row costs one line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kaption.producers.sources._columns import Row
from kaption.producers.sources.source import RAW_BYTES, SourceError


class _Lines:
    """Lines of a binary file as text; `taken` holds the lines since the last `mark`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.taken: list[bytes] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(RAW_BYTES)
        if not line:
            raise StopIteration
        self.taken.append(line)
        return line.decode()

    def mark(self) -> None:
        self.taken = []

    def give_back(self) -> None:
        """Seek back to the second of the lines taken, so that it is read again."""
        rest = sum(map(len, self.taken[1:]))
        self._file.seek(-rest, 1)
        del self.taken[1:]


def csv_rows(
    path: Path, delimiter: str, columns: list[str] | None, offset: int, number: int
) -> Iterator[Row]:
    """The rows behind `offset`; the first of them has the number `number` + 1.

    `columns` are the column names of a file without a header. Raises SourceError, OSError.
    """
    with path.open("rb") as file:
        lines = _Lines(file)
        try:
            header = columns or next(csv.reader(lines, delimiter=delimiter, strict=True), None)
        except (csv.Error, UnicodeDecodeError) as error:
            raise SourceError(f"{path}: its header cannot be read: {error}") from error
        if header is None:
            return
        header = [name.removeprefix("\ufeff").strip() for name in header]
        if offset > file.seek(0, 2):
            raise SourceError(f"{path} is shorter than when it was read: --from-start reads it all")
        file.seek(max(offset, 0 if columns else sum(map(len, lines.taken))))
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            lines.mark()
            number += 1
            values: list[str] = []
            why = None
            try:
                values = next(rows)
            except StopIteration:
                return
            except (csv.Error, UnicodeDecodeError) as error:
                # A quote that is not closed takes in the lines behind it: read them again.
                lines.give_back()
                rows = csv.reader(lines, delimiter=delimiter, strict=True)
                why = f"not CSV: {error}"
            if why is None and not values:
                continue
            if why is None and len(values) != len(header):
                why = f"the row has {len(values)} fields, the header {len(header)}"
            raw = b"".join(lines.taken)[:RAW_BYTES]
            fields = dict(zip(header, values, strict=False)) if why is None else {}
            yield Row(f"{path.name}:row {number}", fields, raw, why, file.tell(), number)
