"""Pairs from what img2dataset has downloaded, in any of its formats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kaption.producers.sources.folder import Folder
from kaption.producers.sources.source import Found, Source, SourceError
from kaption.producers.sources.table import Table
from kaption.producers.sources.webdataset import WebDataset


class Img2dataset(Source):
    """An output folder of img2dataset: tars, Parquet files with the images, or folders of files.

    `WebDataset`, `Table` or `Folder` reads it, and the cursors are theirs. img2dataset writes no
    failed downloads to tars and folders; in Parquet files these are pairs with a URL. `source` is
    the name of the data set.
    """

    def __init__(self, location: str, *, source: str | None = None) -> None:
        self._path = Path(location)
        self._source = source

    @classmethod
    def recognises(cls, location: str) -> bool:
        """A folder with the statistics that img2dataset writes for each shard."""
        return "://" not in location and next(Path(location).glob("*_stats.json"), None) is not None

    @property
    def identity(self) -> str:
        """The path."""
        return f"img2dataset:{self._path.resolve()}"

    def read(self, after: str | None = None) -> Iterator[Found]:
        """Each download in turn."""
        return self._inner().read(after)

    def _inner(self) -> Source:
        location = str(self._path)
        # Parquet files come last: beside tars and folders they hold no images.
        if next(self._path.glob("*.tar"), None):
            return WebDataset(location, source=self._source)
        if any(each.is_dir() and each.name.isdecimal() for each in self._path.glob("*")):
            return Folder(location, source=self._source)
        if next(self._path.glob("*.parquet"), None):
            return Table(location, source=self._source)
        raise SourceError(f"{self._path} holds nothing that img2dataset writes")
