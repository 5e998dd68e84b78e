"""Pairs from a folder of images with side files."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

from kaption.producers.errors import SourceError
from kaption.producers.image import file_below
from kaption.producers.sources._beginning import begun, refusal
from kaption.producers.sources._pair import IMAGES, cursor, described, pair_of, parts_of
from kaption.producers.sources.huggingface import INFO_FILE, SPLITS_FILE
from kaption.producers.sources.source import Found, Item, LocalSource, Unreadable
from kaption.producers.sources.table import TABLES
from kaption.producers.sources.warc import ARCHIVES
from kaption.schemas.limits import RAW_BYTES

_SIDES = (".txt", ".json")


class Folder(LocalSource):
    """One pair per image in a folder and the folders below it, in the order of the paths.

    Beside ``a.jpg``, ``a.txt`` holds the text and ``a.json`` further fields, under the names of
    img2dataset or of RawPair; without a ``.txt`` it holds the text too. Where no image has either,
    as in a folder of photographs, the text of each is empty. Links that lead out of the folder are
    not followed. `source` is the name of the data set.

    A cursor is the path of the last image read. Images that are added later must have names that
    sort behind it.
    """

    @classmethod
    def recognises(cls, location: str) -> bool:
        """A folder without shards, tables, archives, or files that describe these."""
        if "://" in location or not Path(location).is_dir():
            return False
        other = (".tar", *TABLES, *ARCHIVES, "_stats.json", INFO_FILE, SPLITS_FILE)
        return not any(each.name.lower().endswith(other) for each in Path(location).iterdir())

    def _read(self, after: str | None) -> Iterator[Found]:
        images, any_described = self._images()
        (last,) = parts_of(after, str)
        found = (
            Found(self._item(name, any_described), cursor(name), name)
            for name in images[bisect_right(images, last) :]
        )
        return found if after is not None else begun(found, self._refuse)

    def _refuse(self, lacking: Sequence[Found]) -> None:
        """Links that all lead out of the folder, or nowhere, as of git-annex and DVC."""
        linked = all((self._path / each.place).is_symlink() for each in lacking)
        if linked and len(lacking) > 1:
            advice = "copy the files in place of the links"
            raise refusal(self._path, lacking, advice)

    def _images(self) -> tuple[list[str], bool]:
        """Sorted paths below the folder, and whether there is a text or a JSON beside any image.

        All are listed first, because a folder has no order.
        """

        def failed(error: OSError) -> None:
            raise error

        found, any_described = [], False
        for folder, _, names in os.walk(self._path, onerror=failed):
            below = Path(folder).relative_to(self._path)
            images = [name for name in names if name.rpartition(".")[2].lower() in IMAGES]
            found += [(below / name).as_posix() for name in images]
            sides = {Path(name).with_suffix(end).name for name in images for end in _SIDES}
            any_described = any_described or not sides.isdisjoint(names)
        if found and not any_described and (lines := sorted(self._path.glob("*.jsonl"))):
            raise SourceError(
                f"none of the images in {self._path} has a text beside it: give {lines[0]}, with"
                " -o image_column=NAME where its images have another name"
            )
        return sorted(found), any_described

    def _item(self, name: str, any_described: bool) -> Item:
        path = self._path / name
        try:
            beside = path.with_suffix(".json")
            text = self._side(path.with_suffix(".txt")) if any_described else b""
            fields = described(beside.name, self._side(beside), text, self._source)
        except (OSError, ValueError) as error:
            return Unreadable(name, name.encode(errors="replace"), f"its side file: {error}")
        try:
            found = file_below(self._path, name)
        except ValueError as error:
            return Unreadable(name, name.encode(errors="replace"), str(error), incomplete=True)
        return pair_of({**fields, "image": found}, name)

    def _side(self, path: Path) -> bytes | None:
        if not path.is_file():
            return None
        with file_below(self._path, path.relative_to(self._path)).open("rb") as file:
            return file.read(RAW_BYTES)
