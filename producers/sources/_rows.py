"""Rows of CSV files, Parquet files and Arrow streams."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from kaption.producers.errors import SourceError
from kaption.producers.sources._files import from_utf8, opened_text
from kaption.schemas.limits import RAW_BYTES

_SEPARATOR = re.compile(r"(?:\ufeff)?\"?sep=(.)\"?[,;\t]*", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:\w+:)?//\S+|\S+\.(?:jpe?g|jfif|png|gif|webp|avif|bmp|tiff?|heic)", re.I)
_TAB = "\t"
_SKIPPED_BYTES = 1024 * 1024
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
    """Lines of a binary file as text; `taken` holds the lines since the last `mark`.

    The first of them is line `first` of the file, counted from 1.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.taken: list[bytes] = []
        self.first = 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(RAW_BYTES)
        if not line:
            raise StopIteration
        self.taken.append(line)
        return from_utf8(line)

    def mark(self) -> None:
        self.first += sum(line.endswith(b"\n") for line in self.taken)
        self.taken = []

    def move(self, offset: int) -> bool:
        """Seek to an offset behind the last mark, and count the lines before it.

        Returns False if the file is shorter.
        """
        self._file.seek(0)
        left, self.first, self.taken = offset, 1, []
        while left and (part := self._file.read(min(left, _SKIPPED_BYTES))):
            left -= len(part)
            self.first += part.count(b"\n")
        return not left

    def opening(self, quote: str) -> int:
        """The line on which the last quoted value in the lines taken begins."""
        begins, inside, mark = 0, False, quote.encode()
        for at, line in enumerate(self.taken):
            for _ in range(line.replace(mark * 2, b"").count(mark)):
                begins, inside = (begins, False) if inside else (at, True)
        return self.first + begins

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
    encoding: str | None = None
    """The file's encoding, if it is not UTF-8 and has no byte order mark."""

    def rows(self, lines: _Lines) -> Iterator[list[str]]:
        """The values of each row; none for an empty line."""
        if self.quote is not None:
            return csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote, strict=True)
        cut = (line.rstrip("\r\n") for line in lines)
        return (line.split(self.delimiter) if line else [] for line in cut)

    def otherwise(self, line: bytes) -> list[str]:
        """The values of a line that is no row to `rows`; none if it is no row even so.

        It may have quotes behind a backslash, as Spark and MySQL write them, or a long value.
        """
        if self.quote is None:
            return []
        escape = "\\" if b"\\" + self.quote.encode() in line else None
        limit = csv.field_size_limit(RAW_BYTES)
        try:
            reader = csv.reader(
                [line.decode()],
                delimiter=self.delimiter,
                quotechar=self.quote,
                escapechar=escape,
                doublequote=escape is None,
                strict=True,
            )
            return next(reader)
        except (csv.Error, UnicodeDecodeError, StopIteration):
            return []
        finally:
            csv.field_size_limit(limit)

    def check(self, values: list[str], taken: list[bytes]) -> None:
        """Raise csv.Error if the lines of one row are rows: a later quote closed an open one.

        A line is a row if it has as many values, and an image's address where this row has one. A
        text of several lines has its row's address once, so that no such text is taken for rows.
        """
        wanted = [at for at, value in enumerate(values) if _ADDRESS.fullmatch(value.strip())]
        if self.quote is None or len(taken) < 2 or not wanted:
            return
        rows = 0
        for line in taken:
            parts = [part.strip(f" \r\n{self.quote}") for part in self._alone(line)]
            more = len(parts) - len(values)
            rows += more >= 0 and (
                all(_ADDRESS.fullmatch(parts[at]) for at in wanted)
                or all(_ADDRESS.fullmatch(parts[at + more]) for at in wanted)
            )
        if rows > 1:
            raise csv.Error("it takes in the rows behind it")

    def _alone(self, line: bytes) -> list[str]:
        """The values of a line; a quote without its other half is a character."""
        text = from_utf8(line)
        if self.quote and text.count(self.quote) % 2 == 0:
            with suppress(csv.Error, StopIteration):
                return next(csv.reader([text], delimiter=self.delimiter, quotechar=self.quote))
        return text.split(self.delimiter)

    def why_not(self, error: Exception, lines: _Lines) -> str:
        """Why the lines taken are no row."""
        if self.quote is not None and isinstance(error, csv.Error) and len(lines.taken) > 1:
            return f"the quote on line {lines.opening(self.quote)} is not closed ({error})"
        return f"line {lines.first} is not CSV: {error}"


def csv_rows(
    path: Path, form: CsvForm, offset: int, number: int, check: Callable[[list[str]], None]
) -> Iterator[Row]:
    """The rows behind `offset`; the first of them has the number `number` + 1.

    `check` is called with the names of the columns. Raises SourceError, OSError.
    """
    with opened_text(path, form.encoding) as file:
        lines = _Lines(file)
        try:
            form, header = _header(form, lines)
        except (csv.Error, UnicodeDecodeError) as error:
            raise SourceError(
                f"{path}: its header cannot be read ({error}): correct its first line"
            ) from error
        if not header:
            return
        check(header)
        if not lines.move(max(offset, 0 if form.columns else sum(map(len, lines.taken)))):
            raise SourceError(f"{path} is shorter than when it was read: --from-start reads it all")
        rows = form.rows(lines)
        while True:
            lines.mark()
            number += 1
            values: list[str] = []
            why = None
            try:
                values = next(rows)
                form.check(values, lines.taken)
            except StopIteration:
                return
            except (csv.Error, UnicodeDecodeError) as error:
                # A quote that is not closed takes in the lines behind it: read them again.
                broken = form.why_not(error, lines)
                lines.give_back()
                rows = form.rows(lines)
                values = form.otherwise(lines.taken[0]) if lines.taken else []
                why = None if len(values) == len(header) else broken
            if why is None and not values:
                continue
            while len(values) > len(header) and not values[-1]:
                del values[-1]  # a separator that ends the line
            if why is None and len(values) != len(header):
                why = (
                    f"line {lines.first} has {len(values)} values, the header {len(header)}; "
                    f"{'a tab' if form.delimiter == _TAB else repr(form.delimiter)} separates them"
                )
            raw = b"".join(lines.taken)[:RAW_BYTES]
            fields = dict(zip(header, values, strict=False)) if why is None else {}
            yield Row(f"{path.name}:row {number}", fields, raw, why, file.tell(), number)


def _header(form: CsvForm, lines: _Lines) -> tuple[CsvForm, list[str]]:
    """The form, with the separator that the file names, and the columns: none in an empty file."""
    names = form.columns or next(filter(any, form.rows(lines)), [])
    if told := _SEPARATOR.fullmatch(form.delimiter.join(names)):
        # Excel writes the separator into a line of its own.
        form = replace(form, delimiter=told[1])
        names = next(filter(any, form.rows(lines)), [])
    return form, _distinct([name.removeprefix("\ufeff").strip() for name in names])


def _distinct(names: list[str]) -> list[str]:
    """The names, a number behind each that comes again: none of their values is lost."""
    return [
        name if name not in names[:at] else f"{name}_{names[:at].count(name) + 1}"
        for at, name in enumerate(names)
    ]


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
        raise SourceError(
            f"{path} cannot be read as Parquet ({error}): write or fetch it again"
        ) from error


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
        raise SourceError(
            f"{path} cannot be read as an Arrow stream ({error}): write it again"
        ) from error


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
