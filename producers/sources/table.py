"""Pairs from tables (CSV, TSV, Parquet) with image URLs or image bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from kaption.producers.errors import SourceError
from kaption.producers.sources._beginning import begun, refusal
from kaption.producers.sources._columns import ADVICE, Columns, folder_named
from kaption.producers.sources._files import PACKED
from kaption.producers.sources._pair import cursor, parts_of
from kaption.producers.sources._rows import CsvForm, Row, csv_rows, parquet_rows
from kaption.producers.sources.source import Found, LocalSource

TABLES = (*(f"{name}{each}" for name in (".csv", ".tsv") for each in PACKED), ".parquet")
"""Endings of a table's name."""
_TAB = "\t"


class Table(LocalSource):
    """One pair per row of a file, or of all files of a folder in the order of their names.

    Columns are found by the names that img2dataset and LAION use, in upper or lower case: url;
    caption, text or alt; language or lang; licence or license. `image_column` and `text_column`
    give other names. A column of bytes that is named image, jpg or like another image format holds
    the image itself. A path in the column for the image names a file only with `image_folder`, the
    folder below which the files lie. Columns with the names of RawPair's fields become these
    fields, all others go to `extra`, and empty values are left out.

    `columns` are the comma-separated column names of a CSV file without a header. `delimiter` is
    one character or ``tab``; the default is a tab for .tsv, else a comma. `quote` is the character
    around values that hold delimiters, or ``none``: by default none for tabs, else ``"``. Text
    files may be compressed with gzip, bzip2, xz or zstd, and are in UTF-8 or in what a byte order
    mark or `encoding` says. `source` is the name of the data set. A cursor is a file's name, an
    offset in bytes in that file, and a row number. Parquet needs pyarrow.
    """

    def __init__(
        self,
        location: str,
        *,
        image_column: str | None = None,
        text_column: str | None = None,
        image_folder: str | None = None,
        columns: str | None = None,
        delimiter: str | None = None,
        quote: str | None = None,
        encoding: str | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(location)
        folder = folder_named(image_folder)
        self._columns = Columns(image_column, text_column, source, folder=folder)
        self._header = columns.split(",") if columns else None
        self._delimiter = _TAB if delimiter in ("tab", "\\t") else delimiter
        self._quote = quote
        self._encoding = encoding
        for name, value in (("delimiter", self._delimiter), ("quote", quote)):
            if value is not None and len(value) != 1 and (name, value) != ("quote", "none"):
                raise SourceError(f"-o {name}={value}: give one character")

    @classmethod
    def recognises(cls, location: str) -> bool:
        """A file with a table's name ending, or a folder with tables and no tars."""
        if "://" in location:
            return False
        path = Path(location)
        if not path.is_dir():
            return location.lower().endswith(TABLES)
        tars = next(path.glob("*.tar"), None)
        made = next(path.glob("*_stats.json"), None)
        return bool(tars is None and made is None and _tables(path))

    def _read(self, after: str | None) -> Iterator[Found]:
        found = self._found(after)
        return found if after is not None else begun(found, self._refuse)

    def _refuse(self, lacking: Sequence[Found]) -> None:
        # One row with another value may be damaged: ingest refuses it.
        if len(lacking) > 1:
            raise refusal(self._path, lacking, ADVICE)

    def _found(self, after: str | None) -> Iterator[Found]:
        name, offset, number = parts_of(after, str, int, int)
        for path in self._files():
            if path.name < name:
                continue
            begin = (offset, number) if path.name == name else (0, 0)
            checked = False
            for row in self._rows(path, *begin):
                if row.error is None and not checked:
                    self._columns.check(path, row.fields)
                    checked = True
                at = cursor(path.name, row.offset, row.number)
                yield Found(self._columns.pair(row), at, row.place)

    def _files(self) -> list[Path]:
        if not self._path.is_dir():
            return [self._path]
        files = _tables(self._path)
        if not files:
            raise SourceError(f"{self._path} holds no {' or '.join(TABLES)} files: put them there")
        return files

    def _rows(self, path: Path, offset: int, number: int) -> Iterator[Row]:
        if path.suffix.lower() == ".parquet":
            return parquet_rows(path, number)
        tabs = path.name.lower().endswith(tuple(f".tsv{each}" for each in PACKED))
        delimiter = self._delimiter or (_TAB if tabs else ",")
        quote = self._quote or ("none" if delimiter == _TAB else '"')
        quote_mark = None if quote == "none" else quote
        form = CsvForm(delimiter, quote_mark, self._header, self._encoding)
        return csv_rows(path, form, offset, number, partial(self._columns.check, path))


def _tables(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.name.lower().endswith(TABLES))
