"""Pairs from a folder of images with side files."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kaption.producers.image import file_below
from kaption.producers.sources._pair import IMAGES, cursor, pair_of, parts_of, side_fields
from kaption.producers.sources.huggingface import INFO_FILE, SPLITS_FILE
from kaption.producers.sources.source import RAW_BYTES, Found, Item, Source, SourceError, Unreadable
from kaption.producers.sources.warc import DERIVED


class Folder(Source):
    """One pair per image in a folder and the folders below it, in the order of the paths.

    Beside ``a.jpg``, ``a.txt`` holds the text and ``a.json`` further fields, under the names of
    img2dataset or of RawPair; without a ``.txt`` it holds the text too. Links that lead out of the
    folder are not followed. `source` is the name of the data set.

    A cursor is the path of the last image read. Images that are added later must have names that
    sort behind it.
    """

    def __init__(self, location: str, *, source: str | None = None) -> None:
        self._path = Path(location)
        self._source = source

    @classmethod
    def recognises(cls, location: str) -> bool:
        """A folder without shards, tables, archives, or files that describe these."""
        if "://" in location or not Path(location).is_dir():
            return False
        files = (".tar", ".parquet", ".csv", ".tsv", ".csv.gz", ".tsv.gz", ".warc", ".warc.gz")
        other = (*files, *DERIVED, "_stats.json", INFO_FILE, SPLITS_FILE)
        return not any(each.name.endswith(other) for each in Path(location).iterdir())

    @property
    def identity(self) -> str:
        """The path."""
        return f"folder:{self._path.resolve()}"

    def read(self, after: str | None = None) -> Iterator[Found]:
        """Each image in turn."""
        images = self._images()
        begin = 0
        if after is not None:
            (last,) = parts_of(after, str)
            begin = bisect_right(images, last)
        for name in images[begin:]:
            yield Found(self._item(name), cursor(name))

    def _images(self) -> list[str]:
        """Sorted paths below the folder; all are listed first, because a folder has no order."""

        def failed(error: OSError) -> None:
            raise SourceError(f"{self._path} cannot be read: {error}") from error

        found = []
        for folder, _, names in os.walk(self._path, onerror=failed):
            below = Path(folder).relative_to(self._path)
            found += [
                (below / name).as_posix()
                for name in names
                if name.rpartition(".")[2].lower() in IMAGES
            ]
        return sorted(found)

    def _item(self, name: str) -> Item:
        path = self._path / name
        try:
            fields = self._fields(path)
        except (OSError, ValueError) as error:
            return Unreadable(name, name.encode(errors="replace"), f"its side file: {error}")
        try:
            found = file_below(self._path, name)
        except ValueError as error:
            return Unreadable(name, name.encode(errors="replace"), str(error))
        return pair_of({**fields, "image": found}, name)

    def _fields(self, path: Path) -> dict[str, Any]:
        beside, text = path.with_suffix(".json"), path.with_suffix(".txt")
        words = self._side(text).decode(errors="replace").strip() if text.is_file() else None
        raw = self._side(beside) if beside.is_file() else None
        fields = side_fields(raw, words, beside.name)
        if self._source is not None:
            fields.setdefault("source", self._source)
        return fields

    def _side(self, path: Path) -> bytes:
        with file_below(self._path, path.relative_to(self._path)).open("rb") as file:
            return file.read(RAW_BYTES)
