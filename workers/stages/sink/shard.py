"""The two files of a shard, built on local disk."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from schemas import CleanPair, Position, ShardObject
from workers.stages.sink.rows import row, write_parquet

EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
}
"""By the blob's media type, as WebDataset's decoders know them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One pair with its picture on disk."""

    position: Position
    pair: CleanPair
    picture: Path

    @property
    def key(self) -> str:
        """Unique in the dataset, also where two versions of a pair share a shard."""
        return f"{self.position.partition}-{self.position.offset}"


@dataclass(frozen=True, slots=True)
class ShardFile:
    """One built file and what the manifest says of it."""

    path: Path
    media_type: str
    entry: ShardObject


def build_shard(folder: Path, stem: str, samples: Sequence[Sample]) -> tuple[ShardFile, ShardFile]:
    """Write tar and Parquet into `folder`; they will be ``{stem}-{digest}.tar`` and ``.parquet``.

    The digest of the content stands in the name, so that one writer's second attempt with the same
    records overwrites the first, and an attempt with other records never does.
    """
    tar, table = folder / "shard.tar", folder / "shard.parquet"
    _write_tar(tar, samples)
    write_parquet(table, (row(sample.key, sample.position, sample.pair) for sample in samples))
    named = f"{stem}-{_sha256(tar)[:16]}"
    return (
        _described(tar, f"{named}.tar", "webdataset", "application/x-tar"),
        _described(table, f"{named}.parquet", "parquet", "application/vnd.apache.parquet"),
    )


def _write_tar(path: Path, samples: Sequence[Sample]) -> None:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for sample in samples:
            extension = EXTENSIONS[sample.pair.image.blob.media_type]
            with sample.picture.open("rb") as picture:
                size = sample.picture.stat().st_size
                tar.addfile(_member(f"{sample.key}.{extension}", size), picture)
            for ending, text in (
                ("json", sample.pair.model_dump_json()),
                ("txt", sample.pair.captions[0].text),
            ):
                data = text.encode()
                tar.addfile(_member(f"{sample.key}.{ending}", len(data)), io.BytesIO(data))


def _member(name: str, size: int) -> tarfile.TarInfo:
    # Owner, group and time stay 0: the same samples give the same bytes.
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def _described(
    path: Path, key: str, kind: Literal["webdataset", "parquet"], media_type: str
) -> ShardFile:
    entry = ShardObject(key=key, format=kind, bytes=path.stat().st_size, sha256=_sha256(path))
    return ShardFile(path, media_type, entry)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
