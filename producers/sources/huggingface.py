"""Pairs from data sets that Hugging Face's library `datasets` has saved to disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from kaption.producers.errors import SourceError
from kaption.producers.sources._beginning import begun, refusal
from kaption.producers.sources._columns import Columns
from kaption.producers.sources._pair import cursor, parts_of
from kaption.producers.sources._rows import stream_rows
from kaption.producers.sources.source import Found, LocalSource
from kaption.schemas.faults import one_line

SPLITS_FILE = "dataset_dict.json"
INFO_FILE = "dataset_info.json"
_STATE_FILE = "state.json"

T = TypeVar("T", bound=BaseModel)


class _Splits(BaseModel):
    splits: list[str]


class _Info(BaseModel):
    features: dict[str, Any]


class _DataFile(BaseModel):
    filename: str


class _State(BaseModel):
    data_files: list[_DataFile] = Field(alias="_data_files")


class HuggingFace(LocalSource):
    """One pair per row of what `save_to_disk` of a Dataset or a DatasetDict has written.

    Splits and their files are read in the order that the data set lists them. The folder of one
    split can be read alone. Columns are found by name as in `Table`; `image_column` and
    `text_column` give other names. A column of the feature Image is the image, whatever its name.
    `source` is the name of the data set. A cursor is a file's name and a row number. Needs pyarrow.

    The reader is Arrow's. `datasets` takes seconds to import and would add only indices, which
    `save_to_disk` has resolved, and decoded images, which are not needed.
    """

    def __init__(
        self,
        location: str,
        *,
        image_column: str | None = None,
        text_column: str | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(location)
        self._columns = Columns(image_column, text_column, source)

    @classmethod
    def recognises(cls, location: str) -> bool:
        """A folder with the files that describe a data set or its splits."""
        return any((Path(location) / name).is_file() for name in (SPLITS_FILE, INFO_FILE))

    def _read(self, after: str | None) -> Iterator[Found]:
        found = self._found(after)
        return found if after is not None else begun(found, self._refuse)

    def _refuse(self, lacking: Sequence[Found]) -> None:
        # One row may be damaged: it becomes a dead letter.
        if len(lacking) > 1:
            advice = "name another column with -o image_column=NAME or -o text_column=NAME"
            raise refusal(self._path, lacking, advice)

    def _found(self, after: str | None) -> Iterator[Found]:
        last, done = parts_of(after, str, int)
        files = dict(self._files())
        names = list(files)
        if last and last not in files:
            raise SourceError(
                f"{self._path} has no file {last} any more, where the last run stopped: "
                "--from-start publishes all that is there"
            )
        for name in names[names.index(last) if last else 0 :]:
            for row in stream_rows(self._path / name, name, done if name == last else 0):
                yield Found(files[name].pair(row), cursor(name, row.number), row.place)

    def _files(self) -> Iterator[tuple[str, Columns]]:
        """The path of each data file below the folder, and its columns."""
        several = (self._path / SPLITS_FILE).is_file()
        splits = _read(self._path / SPLITS_FILE, _Splits).splits if several else [""]
        for split in splits:
            folder = self._path / split
            features = _read(folder / INFO_FILE, _Info).features
            images = tuple(name for name, each in features.items() if _is_image(each))
            columns = replace(self._columns, images=images)
            columns.check(folder, features)
            for each in _read(folder / _STATE_FILE, _State).data_files:
                yield (Path(split) / each.filename).as_posix(), columns


def _is_image(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.get("_type") == "Image"


def _read(path: Path, shape: type[T]) -> T:
    try:
        return shape.model_validate_json(path.read_bytes())
    except ValidationError as error:
        told = one_line(error, shape.__name__)
        raise SourceError(f"{path} is not what `datasets` writes: {told}") from error
