"""Pairs from tables: CSV, TSV and Parquet, of image URLs or of image bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from producers.sources._csv import csv_rows
from producers.sources._pair import (
    PICTURES,
    TEXT_NAMES,
    cursor,
    known_fields,
    pair_of,
    parts_of,
)
from producers.sources._parquet import parquet_rows
from producers.sources._row import Row
from producers.sources.source import Found, Source, SourceError, Unreadable
from schemas import RawPair

_SUFFIXES = (".csv", ".tsv", ".parquet")
_URL_COLUMNS = ("url", "image_url", "img_url", "image_link", "image")


class Table(Source):
    """One pair per row of a file, or of all files of a folder in the order of their names.

    The columns of img2dataset and LAION are known, in upper or lower case: url and caption, text or
    alt; language or lang; licence or license. `url_column` and `text_column` name others. Columns
    named as the fields of RawPair become these, all others go to `extra`; empty ones are left out.
    A column of bytes named image, jpg or like another picture format is the image itself.

    `columns` are names, comma separated, for a CSV file without a header; `delimiter` is one
    character (a tab for .tsv); `source` is the name of the data set. A cursor is a file's name, and
    in it an offset in bytes and a row number. Parquet needs pyarrow.
    """

    def __init__(
        self,
        location: str,
        *,
        url_column: str | None = None,
        text_column: str | None = None,
        columns: str | None = None,
        delimiter: str | None = None,
        source: str | None = None,
    ) -> None:
        self._path = Path(location)
        self._url_columns = (url_column,) if url_column else _URL_COLUMNS
        self._text_column = text_column
        self._columns = columns.split(",") if columns else None
        self._delimiter = delimiter
        self._source = source

    @classmethod
    def recognises(cls, location: str) -> bool:
        """By its name, or a folder that holds tables and no tars beside them."""
        if "://" in location:
            return False
        path = Path(location)
        if not path.is_dir():
            return location.lower().endswith(_SUFFIXES)
        tars = next(path.glob("*.tar"), None)
        made = next(path.glob("*_stats.json"), None)
        return bool(tars is None and made is None and _tables(path))

    @property
    def identity(self) -> str:
        """The path."""
        return f"table:{self._path.resolve()}"

    def read(self, after: str | None = None) -> Iterator[Found]:
        """Each row in turn."""
        name, offset, number = parts_of(after, str, int, int) if after is not None else ("", 0, 0)
        try:
            for path in self._files():
                if path.name < name:
                    continue
                begin = (offset, number) if path.name == name else (0, 0)
                checked = False
                for row in self._rows(path, *begin):
                    if row.error is None and not checked:
                        self._check_columns(path, row.fields)
                        checked = True
                    yield Found(self._item(row), cursor(path.name, row.offset, row.number))
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error}") from error

    def _files(self) -> list[Path]:
        if not self._path.is_dir():
            return [self._path]
        files = _tables(self._path)
        if not files:
            raise SourceError(f"{self._path} holds no {' or '.join(_SUFFIXES)} files")
        return files

    def _check_columns(self, path: Path, columns: Collection[str]) -> None:
        """Or each row would become a dead letter, for a name that was not known."""
        names = {name.lower() for name in columns}
        images = {*self._url_columns, *PICTURES, "image"}
        if names.isdisjoint(each.lower() for each in images):
            what, option = "image", "url_column"
        elif self._text_column not in columns and names.isdisjoint(TEXT_NAMES):
            what, option = "text", "text_column"
        else:
            return
        raise SourceError(
            f"{path} has no column for the {what} that is known: it has {', '.join(columns)}; "
            f"give its name with -o {option}=NAME"
        )

    def _rows(self, path: Path, offset: int, number: int) -> Iterator[Row]:
        if path.suffix.lower() == ".parquet":
            return parquet_rows(path, number)
        delimiter = self._delimiter or ("\t" if path.suffix.lower() == ".tsv" else ",")
        return csv_rows(path, delimiter, self._columns, offset, number)

    def _item(self, row: Row) -> RawPair | Unreadable:
        if row.error is not None:
            return Unreadable(row.place, row.raw or b"", row.error)
        given = dict(row.fields)
        if self._text_column is not None:
            given["text"] = given.pop(self._text_column, None)
        image = self._image(given)
        fields = known_fields(given)
        if image is not None:
            fields["image"] = image
        if self._source is not None:
            fields.setdefault("source", self._source)
        return pair_of(fields, row.place, row.raw)

    def _image(self, row: dict[str, Any]) -> dict[str, str] | bytes | None:
        """The image, taken out of the row; bytes before URLs, for they need not be fetched."""
        names = {name.lower(): name for name in row}
        for name in ("image", *sorted(PICTURES)):
            if isinstance(row.get(names.get(name, "")), bytes):
                return bytes(row.pop(names[name]))
        for column in self._url_columns:
            url = row.get(names.get(column.lower(), ""))
            # A path is not read: tables come from strangers.
            if isinstance(url, str) and url:
                del row[names[column.lower()]]
                return {"url": url}
        return None


def _tables(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.suffix.lower() in _SUFFIXES)
