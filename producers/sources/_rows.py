"""Rows of CSV files, Parquet files and Arrow streams."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kaption.producers.sources._files import moved_to, opened_text
from kaption.producers.sources.source import RAW_BYTES, SourceError

_BATCH_ROWS = 256
_CHUNK_ROWS = 16
"""Rows that are converted to Python values at once: a batch may hold gigabytes of images."""
_END = b"\xff\xff\xff\xff\0\0\0\0"
"""The last bytes of an Arrow stream that was written completely."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: its values by column, or the error that it could not be read for."""

    place: str
    fields: Mapping[str, Any]
    raw: bytes | None
    """The row's bytes in a text file, else None."""
    error: str | None
    offset: int
    """Where the next row begins, in bytes; 0 if the file cannot be read from an offset."""
    number: int
    """Counted from 1."""


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


def parquet_rows(path: Path, done: int) -> Iterator[Row]:
    """The rows behind the first `done`; row groups before them are not read.

    Raises SourceError, OSError.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            groups = list(range(file.num_row_groups))
            number = 0
            while groups and number + file.metadata.row_group(groups[0]).num_rows <= done:
                number += file.metadata.row_group(groups.pop(0)).num_rows
            if not groups:
                return
            batches = file.iter_batches(_BATCH_ROWS, row_groups=groups)
            yield from _rows(path.name, batches, number, done)
    except pa.ArrowException as error:
        raise SourceError(f"{path} cannot be read as Parquet: {error}") from error


def stream_rows(path: Path, name: str, done: int) -> Iterator[Row]:
    """The rows of an Arrow stream behind the first `done`, which are not converted.

    The place of each row begins with `name`. Raises SourceError, OSError.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as file:
            # Arrow itself does not notice that a file was cut off between two batches.
            if file.size() < len(_END) or file.read_at(len(_END), file.size() - len(_END)) != _END:
                raise SourceError(f"{path} is cut off: write or copy it again")
            yield from _rows(name, pa.ipc.open_stream(file), 0, done)
    except pa.ArrowException as error:
        raise SourceError(f"{path} cannot be read as an Arrow stream: {error}") from error


def _rows(name: str, batches: Iterable[Any], number: int, done: int) -> Iterator[Row]:
    """Rows of record batches; there are `number` rows before the first batch."""
    for batch in batches:
        skip = min(max(0, done - number), batch.num_rows)
        number += skip
        for at in range(skip, batch.num_rows, _CHUNK_ROWS):
            for fields in batch.slice(at, _CHUNK_ROWS).to_pylist():
                number += 1
                plain = {column: _plain(value) for column, value in fields.items()}
                yield Row(f"{name}:row {number}", plain, None, None, 0, number)


def _plain(value: Any) -> Any:
    """Dates and decimals become text; a value of Hugging Face's type Image its bytes or URL."""
    if isinstance(value, dict) and value.keys() == {"bytes", "path"}:
        return value["path"] if value["bytes"] is None else value["bytes"]
    if value is None or isinstance(value, (str, bytes, bool, int, float, list, dict)):
        return value
    return str(value)
