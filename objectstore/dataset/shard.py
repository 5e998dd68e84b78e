"""The format of a shard: a WebDataset tar of samples, a Parquet table and counters beside it.

A sample is three members of the tar that share its key: the image, ``json`` (the CleanPair) and
``txt`` (the best caption).
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from kaption.objectstore.dataset.counting import Counting
from kaption.objectstore.dataset.table import row, write_parquet
from kaption.schemas import CleanPair, Position, ShardObject
from kaption.schemas.manifest import ObjectFormat

EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
}
"""The image's extension by its media type, as WebDataset's decoders know it."""


@dataclass(frozen=True, slots=True)
class ShardSample:
    """One pair whose image is a local file."""

    position: Position
    pair: CleanPair
    image: Path

    @property
    def key(self) -> str:
        """``partition-offset``: unique in the dataset, also for two versions of one pair."""
        return f"{self.position.partition}-{self.position.offset}"


@dataclass(frozen=True, slots=True)
class ShardFile:
    """One local file of a shard, and how the manifest will describe it."""

    path: Path
    media_type: str
    entry: ShardObject


def build_shard(
    folder: Path, stem: str, samples: Sequence[ShardSample]
) -> tuple[ShardFile, ShardFile, ShardFile]:
    """Write the tar, the table and the counters into `folder`, to be stored as
    ``{stem}-{digest}.tar``, ``.parquet`` and ``.json``.

    The digest is that of the tar's content. So a writer's second attempt with the same records
    overwrites the objects of the first, and an attempt with other records never does.
    """
    tar, table, counts = (folder / f"shard.{ending}" for ending in ("tar", "parquet", "json"))
    _write_tar(tar, samples)
    counting = Counting()
    write_parquet(table, map(counting.add_row, _rows(samples)))
    counts.write_text(counting.total().model_dump_json(), encoding="utf-8")
    named = f"{stem}-{_sha256(tar)[:16]}"
    return (
        _described(tar, f"{named}.tar", "webdataset", "application/x-tar"),
        _described(table, f"{named}.parquet", "parquet", "application/vnd.apache.parquet"),
        _described(counts, f"{named}.json", "counts", "application/json"),
    )


def untar(data: bytes) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Give each sample of a tar: its key, and its members by extension."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for key, members in groupby(tar, key=lambda member: member.name.partition(".")[0]):
            yield key, {member.name.partition(".")[2]: _bytes(tar, member) for member in members}


def offset_of(key: str) -> int:
    """Return the offset in a sample's key. Raises ValueError for another key."""
    return int(key.rpartition("-")[2])


def parse_sample(members: Mapping[str, bytes]) -> tuple[CleanPair, bytes]:
    """Return a sample's pair and its stored image. Raises ValueError where either is missing."""
    images = members.keys() - {"json", "txt"}
    if "json" not in members or len(images) != 1:
        raise ValueError(f"a sample is json, txt and an image, not {', '.join(sorted(members))}")
    return CleanPair.model_validate_json(members["json"]), members[images.pop()]


def _rows(samples: Iterable[ShardSample]) -> Iterator[dict[str, Any]]:
    return (row(sample.key, sample.position, sample.pair) for sample in samples)


def _write_tar(path: Path, samples: Sequence[ShardSample]) -> None:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for sample in samples:
            extension = EXTENSIONS[sample.pair.image.blob.media_type]
            with sample.image.open("rb") as image:
                size = sample.image.stat().st_size
                tar.addfile(_member(f"{sample.key}.{extension}", size), image)
            for ending, text in (
                ("json", sample.pair.model_dump_json()),
                ("txt", sample.pair.captions[0].text),
            ):
                data = text.encode()
                tar.addfile(_member(f"{sample.key}.{ending}", len(data)), io.BytesIO(data))


def _member(name: str, size: int) -> tarfile.TarInfo:
    # Owner, group and time stay 0, so that the same samples give the same bytes.
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def _described(path: Path, key: str, kind: ObjectFormat, media_type: str) -> ShardFile:
    entry = ShardObject(key=key, format=kind, bytes=path.stat().st_size, sha256=_sha256(path))
    return ShardFile(path, media_type, entry)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise ValueError(f"{member.name} in the tar is not a file")
    return file.read()
