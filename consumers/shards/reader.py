"""The samples of shards: every object verified, damaged ones passed over and reported."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from pydantic import ValidationError

from kaption.consumers.shards.index import Shard, ShardIndex
from kaption.consumers.stream import Sample
from kaption.objectstore.dataset.layout import dataset_root
from kaption.objectstore.dataset.shard import untar
from kaption.objectstore.patience import patiently
from kaption.objectstore.store import Objects
from kaption.schemas import CleanPair, Manifest
from kaption.schemas.manifest import entry_of, holds

_log = logging.getLogger(__name__)

OnDamage = Callable[[str, str], None]
"""Called with the object's key and what is wrong, once for each object."""


class ShardReader:
    """Reads data objects whole, one at a time; `damaged` tells of those that could not be used."""

    def __init__(
        self,
        objects: Objects,
        prefix: str,
        index: ShardIndex,
        damaged: dict[str, str],
        on_damage: OnDamage | None,
    ) -> None:
        self._objects = objects
        self._root = dataset_root(prefix)
        self._index = index
        self._damaged = damaged
        self._on_damage = on_damage

    def samples(self, shard: Shard, offset: int = 0) -> Iterator[tuple[int, Sample]]:
        """The shard's samples from `offset` on, in offset order, each with its offset.

        Where the shard was merged into a larger one meanwhile, its offsets are read there.
        """
        offset = max(offset, shard.start)
        while offset < shard.end:
            manifest = self._index.at(shard.partition, offset)
            fault, data = self._verified(manifest, "webdataset")
            if fault:
                if self._merged(manifest):
                    continue
                self._report(entry_of(manifest, "webdataset").key, fault)
            else:
                yield from self._parsed(manifest, data, offset, shard.end)
            offset = manifest.end

    def tables(self, manifest: Manifest) -> Iterator[bytes]:
        """The shard's Parquet object, or those of which it was made part; none where damaged."""
        fault, data = self._verified(manifest, "parquet")
        if not fault:
            yield data
        elif self._merged(manifest):
            limits = {manifest.partition: manifest.start}, {manifest.partition: manifest.end}
            for each in self._index.manifests(*limits):
                yield from self.tables(each)
        else:
            self._report(entry_of(manifest, "parquet").key, fault)

    def find(self, places: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Sample]:
        """Samples by partition and offset, each shard read once; those gone are left out."""
        wanted = sorted(set(places))
        found: dict[tuple[int, int], Sample] = {}
        while wanted:
            partition, first = wanted[0]
            end = self._index.at(partition, first).end
            here = {place for place in wanted if place < (partition, end)}
            for offset, sample in self.samples(Shard(partition, first, end)):
                if (partition, offset) in here:
                    found[partition, offset] = sample
            wanted = [place for place in wanted if place not in here]
        return found

    def _parsed(
        self, manifest: Manifest, data: bytes, start: int, end: int
    ) -> Iterator[tuple[int, Sample]]:
        for key, members in untar(data):
            offset = int(key.rpartition("-")[2])
            if not start <= offset < end:
                continue
            try:
                pair = CleanPair.model_validate_json(members["json"])
                (image,) = members.keys() - {"json", "txt"}
            except (KeyError, ValueError) as error:
                what = "no CleanPair" if isinstance(error, ValidationError) else "not one image"
                self._report(f"{entry_of(manifest, 'webdataset').key}/{key}", f"{what}: {error}")
                continue
            yield offset, Sample(pair, members[image])

    def _verified(
        self, manifest: Manifest, kind: Literal["webdataset", "parquet"]
    ) -> tuple[str, bytes]:
        """What is wrong with the object (nothing: empty), and its bytes."""
        entry = entry_of(manifest, kind)
        try:
            data = patiently(lambda: self._objects.get(self._root + entry.key))
        except KeyError:
            return "missing", b""
        return ("" if holds(entry, data) else "not the bytes that its manifest names"), data

    def _merged(self, manifest: Manifest) -> bool:
        """Look again: whether another one stands in its place now."""
        self._index.refresh()
        return self._index.at(manifest.partition, manifest.start) != manifest

    def _report(self, key: str, fault: str) -> None:
        if key in self._damaged:
            return
        self._damaged[key] = fault
        _log.warning("%s is passed over: %s", key, fault)
        if self._on_damage is not None:
            self._on_damage(key, fault)
