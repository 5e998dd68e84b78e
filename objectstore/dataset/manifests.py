"""The manifests of a dataset: which there are, which of them count, and whether they fit together.

The sink writes one manifest for each shard. Compaction writes a manifest of a higher generation in
the place of several; until the replaced ones are deleted, both are listed, and only the one of the
higher generation counts.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kaption.objectstore.dataset.layout import Layout, Placed
from kaption.objectstore.store import ObjectStore
from kaption.schemas import Manifest

_READERS = 16
_TRIES = 10
P = TypeVar("P", bound=Placed)


def read_manifests(objects: ObjectStore, prefix: str = "") -> list[Manifest]:
    """Return the manifests that count, sorted by partition and start.

    Raises ValueError (pydantic) for a manifest that cannot be parsed.
    """
    return live(ManifestCache(objects, prefix).read().values())


class ManifestCache:
    """All manifests of the dataset at `prefix`, or of one partition of it; each is read once."""

    def __init__(self, objects: ObjectStore, prefix: str, partition: int | None = None) -> None:
        layout = Layout(prefix)
        self._objects = objects
        # The sink's manifests are listed first. Compaction writes the merged manifest before it
        # deletes those that it replaces, so for one that is deleted between the two listings, the
        # second listing has the merged one.
        self._folders = (layout.manifests(partition), layout.merged_manifests(partition))
        self._known: dict[str, Manifest] = {}

    def read(self) -> dict[str, Manifest]:
        """List again, read what is new, and return all by key; `live` tells which count.

        Raises ValueError (pydantic) for a manifest that cannot be parsed.
        """
        for tries_left in reversed(range(_TRIES)):
            keys = [key for folder in self._folders for key in self._objects.list(folder)]
            self._known = {key: self._known[key] for key in keys if key in self._known}
            new = [key for key in keys if key not in self._known]
            try:
                with ThreadPoolExecutor(_READERS) as pool:
                    for key, data in zip(new, pool.map(self._objects.get, new), strict=True):
                        self._known[key] = Manifest.model_validate_json(data)
                break
            except KeyError:  # deleted after the listing, because it was merged
                if not tries_left:
                    raise
        return dict(self._known)


def live(manifests: Iterable[P]) -> list[P]:
    """Return the manifests that count, or their entries, sorted by partition and start.

    A manifest does not count if it shares an offset with one of a higher generation.
    """
    by_partition: dict[int, list[P]] = {}
    for each in manifests:
        by_partition.setdefault(each.partition, []).append(each)
    counted: list[P] = []
    for _, found in sorted(by_partition.items()):
        merged: list[P] = []
        for each in sorted(found, key=lambda each: each.generation, reverse=True):
            if each.generation and not _overlaps(merged, each):
                insort(merged, each, key=_start)
        sinks = [each for each in found if not each.generation]
        if merged:
            sinks = [each for each in sinks if not _overlaps(merged, each)]
        counted += sorted(merged + sinks, key=_start)
    return counted


def encoded(manifest: Manifest) -> bytes:
    """Return the manifest as it is stored: JSON that people can read."""
    return manifest.model_dump_json(indent=1).encode()


def _start(manifest: Placed) -> int:
    return manifest.start


def _overlaps(ordered: Sequence[Placed], manifest: Placed) -> bool:
    """Whether the manifest shares an offset with one of `ordered`, which share none themselves."""
    place = bisect_left(ordered, manifest.end, key=_start)
    return place > 0 and ordered[place - 1].end > manifest.start
