"""Compaction's manifests: how one takes the place of several, at once for every reader."""

from __future__ import annotations

from collections.abc import Iterable

from kaption.objectstore.dataset.checkpoint import ShardEntry
from kaption.objectstore.dataset.index import DatasetIndex, PartitionShards, chain_of
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import encoded
from kaption.objectstore.open import patiently
from kaption.objectstore.store import ObjectStore
from kaption.schemas import Manifest


class MergedManifests:
    """The manifests of one partition, and the one conditional PUT by which compaction changes them.

    Compactors that saw the same manifests give their next one the same generation, and so the same
    key. The store lets only one of them write it; the others look again. A compactor that was
    suspended may write a generation that was removed meanwhile. That changes nothing, because the
    manifest that replaced the same shards has a higher generation.
    """

    def __init__(self, objects: ObjectStore, prefix: str, partition: int) -> None:
        self._objects = objects
        self._layout = Layout(prefix)
        self._partition = partition
        self._index = DatasetIndex(objects, prefix, partition)

    def stored(self) -> PartitionShards:
        """Return all that is stored of the partition."""
        return patiently(self._index.read).get(self._partition, PartitionShards())

    def chain(self) -> list[ShardEntry]:
        """Return the shards that count, by start."""
        return chain_of(self.stored())

    def commit(self, run: Iterable[ShardEntry], manifest: Manifest) -> bool:
        """Put the manifest in the place of the run, under the next generation.

        Returns False, and changes nothing, unless every shard of the run still counts. Before this
        call no reader sees the merged shard; after it every reader that looks does.
        """
        while True:
            known = self.stored()
            counted = set(chain_of(known))
            if any(each not in counted for each in run):
                return False
            newest = max(each.generation for each in known.entries)
            if self._write(manifest.model_copy(update={"generation": newest + 1})):
                return True

    def _write(self, manifest: Manifest) -> bool:
        key, data = self._layout.key_of(manifest), encoded(manifest)
        if patiently(lambda: self._objects.put_if_absent(key, data)):
            return True
        try:  # a request that was repeated after a lost answer finds the manifest that it wrote
            return patiently(lambda: self._objects.get(key)) == data
        except KeyError:
            return False
