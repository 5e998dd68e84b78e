"""The two files of a shard, built on local disk."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.layout import dataset_root
from kaption.objectstore.dataset.table import row, write_parquet
from kaption.objectstore.patience import patiently
from kaption.objectstore.store import Objects
from kaption.schemas import CleanPair, Manifest, Position, ShardObject
from kaption.schemas.manifest import entry_of, holds


def object_faults(objects: Objects, prefix: str, manifests: Iterable[Manifest]) -> list[str]:
    """Which data objects are missing or are not the bytes their manifest names; reads them all."""
    faults = []
    for manifest in manifests:
        for entry in manifest.objects:
            try:
                data = objects.get(dataset_root(prefix) + entry.key)
            except KeyError:
                faults.append(f"{entry.key}: missing")
                continue
            if not holds(entry, data):
                faults.append(f"{entry.key}: not the bytes that its manifest names")
    return faults


def read_samples(
    objects: Objects, prefix: str, manifest: Manifest
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Each sample's key, ``partition-offset``, and its members by extension (jpg, json, txt)."""
    yield from untar(objects.get(dataset_root(prefix) + entry_of(manifest, "webdataset").key))


def untar(data: bytes) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The samples of a shard's tar: the key and the members by extension."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for key, members in groupby(tar, key=lambda member: member.name.partition(".")[0]):
            yield key, {member.name.partition(".")[2]: _bytes(tar, member) for member in members}


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise ValueError(f"{member.name} is no file")
    return file.read()


class DamagedError(Exception):
    """A shard that cannot be merged, because what it holds cannot be read."""

    def __init__(self, manifest: Manifest, fault: str) -> None:
        super().__init__(f"{entry_of(manifest, 'webdataset').key}: {fault}")
        self.manifest = manifest


class Shards:
    """The shards of the dataset at `prefix`, of which one object is held at a time."""

    def __init__(self, objects: ObjectStore, prefix: str) -> None:
        self._objects = objects
        self._root = dataset_root(prefix)

    def read(self, manifest: Manifest, kind: Literal["webdataset", "parquet"]) -> bytes:
        """The shard's object of that format. Raises DamagedError."""
        entry = entry_of(manifest, kind)
        try:
            data = patiently(lambda: self._objects.get(self._root + entry.key))
        except KeyError as error:
            raise DamagedError(manifest, f"its {kind} object is missing") from error
        if not holds(entry, data):
            raise DamagedError(manifest, f"its {kind} object is not what the manifest names")
        return data


EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
}
"""By the blob's media type, as WebDataset's decoders know them."""


@dataclass(frozen=True, slots=True)
class ShardSample:
    """One pair with its image on disk."""

    position: Position
    pair: CleanPair
    image: Path

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


def build_shard(
    folder: Path, stem: str, samples: Sequence[ShardSample]
) -> tuple[ShardFile, ShardFile]:
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
