"""The data objects of shards, as compaction reads them: whole and verified."""

from __future__ import annotations

from typing import Literal

from consumers.manifests import dataset_root, entry_of, holds
from consumers.patience import patiently
from objectstore import ObjectStore
from schemas import Manifest


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
