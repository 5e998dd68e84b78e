"""The manifests of one partition, and how one comes to stand in the place of several."""

from __future__ import annotations

from collections.abc import Iterable

from consumers.manifests import ManifestCache, dataset_root, live
from consumers.patience import patiently
from objectstore import ObjectStore
from schemas import Manifest, manifest_key, merged_key


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
