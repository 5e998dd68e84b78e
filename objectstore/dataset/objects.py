"""Reading the data objects of shards, as their manifests name them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.shard import untar
from kaption.objectstore.dataset.table import read_parquet
from kaption.objectstore.open import patiently
from kaption.objectstore.store import ObjectStore
from kaption.schemas import Manifest, ShardObject
from kaption.schemas.manifest import ObjectFormat, entry_of, holds


def read_samples(
    objects: ObjectStore, prefix: str, manifest: Manifest
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Give each sample of a shard: its key, ``partition-offset``, and its members by extension.

    The extensions are ``json``, ``txt`` and the image's, such as ``jpg``. Raises DamagedError.
    """
    yield from untar(DataObjects(objects, prefix).read(manifest, "webdataset"))


def read_rows(objects: ObjectStore, prefix: str, manifest: Manifest) -> list[dict[str, Any]]:
    """Return the rows of a shard's table, in the order of their offsets. Raises DamagedError."""
    data = DataObjects(objects, prefix).read(manifest, "parquet")
    rows: list[dict[str, Any]] = read_parquet(data).to_pylist()
    return rows


class DamagedError(Exception):
    """A shard cannot be used: `fault` says what is wrong with its data object `key`."""

    def __init__(self, manifest: Manifest, entry: ShardObject, fault: str) -> None:
        super().__init__(f"{entry.key}: {fault}")
        self.manifest = manifest
        self.key = entry.key
        self.fault = fault


class DataObjects:
    """The data objects of the dataset at `prefix`, each read whole and verified."""

    def __init__(self, objects: ObjectStore, prefix: str, *, patient: bool = True) -> None:
        """If `patient`, reading waits for a store that is down. Otherwise it raises Retry."""
        self._objects = objects
        self._layout = Layout(prefix)
        self._patient = patient

    def read(self, manifest: Manifest, kind: ObjectFormat) -> bytes:
        """Return a shard's object of that format.

        Raises DamagedError for an object that is missing or has another size or sha256, and Retry.
        """
        entry = entry_of(manifest, kind)
        get = partial(self._objects.get, self._layout.object(entry.key))
        try:
            data = patiently(get) if self._patient else get()
        except KeyError as error:
            raise DamagedError(manifest, entry, "missing") from error
        if not holds(entry, data):
            raise DamagedError(manifest, entry, "not the bytes that its manifest names")
        return data
