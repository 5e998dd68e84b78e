"""Pairs from what img2dataset has downloaded, in any of its formats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kaption.producers.errors import SourceError
from kaption.producers.sources.folder import Folder
from kaption.producers.sources.source import Found, LocalSource, Source
from kaption.producers.sources.table import Table
from kaption.producers.sources.webdataset import WebDataset


class Img2dataset(LocalSource):
    """An output folder of img2dataset: tars, Parquet files with the images, or folders of files.

    `WebDataset`, `Table` or `Folder` reads it, and the cursors are theirs. img2dataset writes no
    failed downloads to tars and folders; in Parquet files these are pairs with a URL. `source` is
    the name of the data set.
    """

    @classmethod
    def recognises(cls, location: str) -> bool:
        """A folder with the statistics that img2dataset writes for each shard."""
        return next(Path(location).glob("*_stats.json"), None) is not None

    def _read(self, after: str | None) -> Iterator[Found]:
        location = str(self._path)
        inner: Source
        # Parquet files come last: beside tars and folders they hold no images.
        if next(self._path.glob("*.tar"), None):
            inner = WebDataset(location, source=self._source)
        elif any(each.is_dir() and each.name.isdecimal() for each in self._path.glob("*")):
            inner = Folder(location, source=self._source)
        elif next(self._path.glob("*.parquet"), None):
            inner = Table(location, source=self._source)
        else:
            raise SourceError(
                f"{self._path} holds nothing that img2dataset writes: give its output folder"
            )
        return inner.read(after)
