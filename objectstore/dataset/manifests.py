"""The shards as their manifests tell them: listed, verified, read."""

from __future__ import annotations

import os
from bisect import bisect_left, insort
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

from kaption.objectstore.dataset.layout import dataset_root
from kaption.objectstore.store import Objects
from kaption.schemas import Manifest

_READERS = 16
_TRIES = 10


class FolderObjects:
    """Objects as the files below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, key: str) -> bytes:
        """The file's bytes. Raises KeyError when there is none."""
        try:
            return (self._root / key).read_bytes()
        except FileNotFoundError as error:
            raise KeyError(key) from error

    def list(self, prefix: str) -> Iterable[str]:
        """Every file whose path below the root starts with `prefix`."""
        start = self._root / prefix.rpartition("/")[0]
        found = (
            Path(folder, name).relative_to(self._root).as_posix()
            for folder, _, names in os.walk(start)
            for name in names
        )
        return sorted(key for key in found if key.startswith(prefix))


class ManifestCache:
    """The manifests of the dataset at `prefix`, or of one partition of it, each read once."""

    def __init__(self, objects: Objects, prefix: str, partition: int | None = None) -> None:
        root, below = dataset_root(prefix), "" if partition is None else f"{partition:05d}/"
        self._objects = objects
        # In this order: what is removed between the two listings is in the second one, merged.
        self._folders = (f"{root}manifest/{below}", f"{root}merged/{below}")
        self._known: dict[str, Manifest] = {}

    def read(self) -> dict[str, Manifest]:
        """All of them as they are now, by key; see `live` for those that count.

        Raises ValueError (pydantic) where one cannot be read.
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
            except KeyError:  # removed since the listing: it was merged
                if not tries_left:
                    raise
        return dict(self._known)


def live(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Those that count, by partition and start: that share no offset with a higher generation."""
    by_partition: dict[int, list[Manifest]] = {}
    for each in manifests:
        by_partition.setdefault(each.partition, []).append(each)
    counted: list[Manifest] = []
    for _, found in sorted(by_partition.items()):
        merged: list[Manifest] = []
        for each in sorted(found, key=lambda each: each.generation, reverse=True):
            if each.generation and not _shares(merged, each):
                insort(merged, each, key=_start)
        sinks = [each for each in found if not (each.generation or _shares(merged, each))]
        counted += sorted(merged + sinks, key=_start)
    return counted


def _start(manifest: Manifest) -> int:
    return manifest.start


def _shares(ordered: list[Manifest], manifest: Manifest) -> bool:
    """Whether any of these, which share no offset with each other, shares one with it."""
    place = bisect_left(ordered, manifest.end, key=_start)
    return place > 0 and ordered[place - 1].end > manifest.start


def read_manifests(objects: Objects, prefix: str = "") -> list[Manifest]:
    """The manifests that count, of the dataset at `prefix`, by partition and start.

    Raises ValueError (pydantic) where a manifest cannot be read.
    """
    return live(ManifestCache(objects, prefix).read().values())


def chain_faults(manifests: Iterable[Manifest]) -> list[str]:
    """What is wrong with the chains: in each partition the first manifest starts at 0 and every
    other one where the one before ends. Empty when all is well.
    """
    ordered = sorted(manifests, key=lambda manifest: (manifest.partition, manifest.start))
    faults = []
    for partition, chain in groupby(ordered, key=lambda manifest: manifest.partition):
        end, topic = 0, None
        for manifest in chain:
            place = f"partition {partition}, manifest {manifest.start}"
            if manifest.start != end:
                faults.append(f"{place}: the one before ends at {end}")
            if not manifest.start < manifest.end:
                faults.append(f"{place}: ends at {manifest.end}")
            if topic not in (None, manifest.topic):
                faults.append(f"{place}: of topic {manifest.topic}, the one before of {topic}")
            end, topic = manifest.end, manifest.topic
    return faults
