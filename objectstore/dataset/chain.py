"""The manifests of each partition: the truth about what is written."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError

from kaption.connections.errors import Fatal, Retry
from kaption.objectstore.dataset.layout import dataset_root, floor_key, manifest_key, merged_key
from kaption.objectstore.dataset.manifests import ManifestCache, live
from kaption.objectstore.patience import patiently
from kaption.objectstore.store import ObjectStore
from kaption.schemas import Manifest


class MergedManifests:
    """What counts in one partition, and the one conditional PUT that changes it.

    Compactors that have seen the same manifests give their next one the same generation, and of
    those only one is written; the others look again. One that is written late, where its generation
    was removed meanwhile, changes nothing: what took the place of its parts has a higher one.
    """

    def __init__(self, objects: ObjectStore, prefix: str, partition: int) -> None:
        self._objects = objects
        self._root = dataset_root(prefix)
        self._cache = ManifestCache(objects, prefix, partition)

    def known(self) -> dict[str, Manifest]:
        """All that are there, by key."""
        return patiently(self._cache.read)

    def chain(self) -> list[Manifest]:
        """Those that count."""
        return live(self.known().values())

    def commit(self, run: Iterable[Manifest], manifest: Manifest) -> bool:
        """Put it in the place of the run; False, changing nothing, if not all of that counts now.

        Until this nothing has happened; afterwards every reader that looks sees it.
        """
        while True:
            known = self.known().values()
            counted = live(known)
            if any(each not in counted for each in run):
                return False
            newest = max(each.generation for each in known)
            if self._written(manifest.model_copy(update={"generation": newest + 1})):
                return True

    def _written(self, manifest: Manifest) -> bool:
        key = self._root + key_of(manifest)
        data = manifest.model_dump_json(indent=1).encode()
        if patiently(lambda: self._objects.put_if_absent(key, data)):
            return True
        try:  # a repeated request finds its own
            return patiently(lambda: self._objects.get(key)) == data
        except KeyError:
            return False


def key_of(manifest: Manifest) -> str:
    """Below the dataset's root."""
    if manifest.generation:
        return merged_key(manifest.partition, manifest.generation)
    return manifest_key(manifest.partition, manifest.start)


class ManifestChain:
    """Manifests below `prefix`, one after the other in each partition.

    The first one starts at offset 0, every other one where the one before ends. So all writers that
    know the same chain name their next manifest alike, and of those only one is written: that is
    what keeps a late writer out, whatever records it holds. A manifest's offsets [start, end) are
    those it accounts for: among them are transaction markers, compacted records and rejected ones.

    Compaction merges shards and later removes their manifests, of which the first may then be
    written again by a writer that knows no better. So it first raises the partition's floor, and
    what is found below the floor is no part of the chain: a manifest that is written or read counts
    only if the floor, looked at afterwards, is not above its start.
    """

    def __init__(self, objects: ObjectStore, prefix: str) -> None:
        self._objects = objects
        self._prefix = f"{prefix}/" if prefix else ""

    def starts(self, partition: int) -> list[int]:
        """The start of every manifest, ascending."""
        folder = self._prefix + manifest_key(partition, 0).rpartition("/")[0] + "/"
        names = [key.removeprefix(folder) for key in self._objects.list(folder)]
        return [int(name.removesuffix(".json")) for name in names]

    def merged_starts(self, partition: int) -> set[int]:
        """Where the shards began that were merged since. Reads every merged manifest."""
        folder = self._prefix + merged_key(partition, 0).rpartition("/")[0] + "/"
        found = filter(None, map(self._read, list(self._objects.list(folder))))
        return {start for manifest in found for start in manifest.parts}

    def read(self, partition: int, start: int) -> Manifest | None:
        """The manifest that starts there, if it is written. Raises Fatal if it cannot be read."""
        return self._read(self._prefix + manifest_key(partition, start))

    def commit(self, manifest: Manifest) -> Manifest:
        """Write the manifest if none starts there; returns the one that stands there.

        A repeated request finds its own manifest: same writer, same objects.
        """
        key = self._prefix + manifest_key(manifest.partition, manifest.start)
        if self._objects.put_if_absent(key, manifest.model_dump_json(indent=1).encode()):
            return manifest
        found = self.read(manifest.partition, manifest.start)
        if found is None:
            raise Retry(f"{key} was there and is gone")
        return found

    def floor(self, partition: int) -> int:
        """Below it manifests may have been removed; itself it is the end of one."""
        folder = self._prefix + floor_key(partition, 0).rpartition("/")[0] + "/"
        return max((int(key.removeprefix(folder)) for key in self._objects.list(folder)), default=0)

    def discard(self, manifest: Manifest) -> None:
        """Take back one that was written below the floor."""
        self._objects.delete(self._prefix + manifest_key(manifest.partition, manifest.start))

    def end_from(self, partition: int, start: int) -> int:
        """Walk on from a manifest's start to the chain's end; `start` itself if none is there."""
        while True:
            end = start
            while (manifest := self.read(partition, end)) is not None:
                end = manifest.end
            floor = self.floor(partition)
            if floor <= start:
                return end
            start = floor

    def _read(self, key: str) -> Manifest | None:
        try:
            data = self._objects.get(key)
        except KeyError:
            return None
        try:
            return Manifest.model_validate_json(data)
        except ValidationError as error:
            raise Fatal(
                f"{key} is no manifest: {error}; restore it, or write to another sink.prefix"
            ) from error
