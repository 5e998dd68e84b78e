"""What was merged long ago is removed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.chain import MergedManifests, key_of
from kaption.objectstore.dataset.layout import dataset_root, floor_key
from kaption.objectstore.dataset.manifests import live
from kaption.objectstore.patience import patiently
from kaption.schemas import Manifest


def retire(objects: ObjectStore, prefix: str, partition: int, before: datetime) -> int:
    """Remove the partition's shards that have not counted since `before`; returns how many.

    First the floor is raised, from which on sinks believe what they find (see `ManifestChain`).
    Then data goes before the manifest that names it, so that nothing is forgotten half removed.
    """
    root = dataset_root(prefix)
    known = MergedManifests(objects, prefix, partition).known()
    chain = live(known.values())
    due = _due(known, {root + key_of(each) for each in chain}, chain, before)
    starts = [each.start for each in due.values() if not each.generation]
    if starts:
        end = next(each.end for each in chain if each.end > max(starts))
        _raise_floor(objects, root + floor_key(partition, end))
    kept = {entry.key for key, each in known.items() if key not in due for entry in each.objects}
    for key, manifest in due.items():
        for entry in manifest.objects:
            if entry.key not in kept:
                _delete(objects, root + entry.key)
        _delete(objects, key)
    return len(due)


def _due(
    known: Mapping[str, Manifest],
    counted: Collection[str],
    chain: list[Manifest],
    before: datetime,
) -> dict[str, Manifest]:
    """The sink's last manifest stays: by it sinks find the chain's end."""
    last = max((each.start for each in known.values() if not each.generation), default=0)
    return {
        key: each
        for key, each in known.items()
        if key not in counted
        and (each.generation or each.start != last)
        and _replaced_at(each, chain) <= before
    }


def _replaced_at(manifest: Manifest, chain: list[Manifest]) -> datetime:
    return min(
        each.created_at for each in chain if each.start < manifest.end and manifest.start < each.end
    )


def _raise_floor(objects: ObjectStore, floor: str) -> None:
    folder = floor.rpartition("/")[0] + "/"
    # The highest one stays until the next time, so that a listing always finds one.
    for lower in patiently(lambda: list(objects.list(folder)))[:-1]:
        _delete(objects, lower)
    patiently(lambda: objects.put_if_absent(floor, b"{}"))


def _delete(objects: ObjectStore, key: str) -> None:
    patiently(lambda: objects.delete(key))
