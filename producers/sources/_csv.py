"""Rows of a CSV file, each with the offset of the next row; a damaged row costs one line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kaption.producers.sources._columns import Row
from kaption.producers.sources._files import moved_to, opened_text
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


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How a file separates its values."""

    delimiter: str
    quote: str | None
    """None: a quote is a character like any other."""
    columns: list[str] | None = None
    """The names of the columns of a file without a header."""

    def rows(self, lines: _Lines) -> Iterator[list[str]]:
        """The values of each row; none for an empty line."""
        if self.quote is not None:
            return csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote, strict=True)
        cut = (line.rstrip("\r\n") for line in lines)
        return (line.split(self.delimiter) if line else [] for line in cut)


def csv_rows(
    path: Path, form: CsvForm, offset: int, number: int, check: Callable[[list[str]], None]
) -> Iterator[Row]:
    """The rows behind `offset`; the first of them has the number `number` + 1.

    `check` is called with the names of the columns. Raises SourceError, OSError.
    """
    columns = form.columns
    with opened_text(path) as file:
        lines = _Lines(file)
        try:
            header = columns or next(form.rows(lines), None)
        except (csv.Error, UnicodeDecodeError) as error:
            raise SourceError(f"{path}: its header cannot be read: {error}") from error
        if header is None:
            return
        header = [name.removeprefix("\ufeff").strip() for name in header]
        check(header)
        if not moved_to(file, max(offset, 0 if columns else sum(map(len, lines.taken)))):
            raise SourceError(f"{path} is shorter than when it was read: --from-start reads it all")
        rows = form.rows(lines)
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
                rows = form.rows(lines)
                why = f"not CSV: {error}"
            if why is None and not values:
                continue
            if why is None and len(values) != len(header):
                why = f"the row has {len(values)} fields, the header {len(header)}"
            raw = b"".join(lines.taken)[:RAW_BYTES]
            fields = dict(zip(header, values, strict=False)) if why is None else {}
            yield Row(f"{path.name}:row {number}", fields, raw, why, file.tell(), number)
