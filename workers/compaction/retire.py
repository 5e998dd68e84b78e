"""Removing what no reader needs any more: shards that were merged, and data without a manifest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import ManifestCache, live
from kaption.objectstore.dataset.merged import MergedManifests
from kaption.objectstore.open import patiently
from kaption.schemas import Manifest


def retire(objects: ObjectStore, prefix: str, partition: int, before: datetime) -> int:
    """Remove the partition's shards that were replaced at `before` or earlier; return how many.

    The floor is raised first, so that no sink trusts a place where a manifest was removed (see
    `kaption.objectstore.dataset.chain`). Then each shard's data is deleted before its manifest: if
    this is interrupted, the manifest still names what is left.
    """
    layout = Layout(prefix)
    known = MergedManifests(objects, prefix, partition).known()
    chain = live(known.values())
    due = _due(known, {layout.key_of(each) for each in chain}, chain, before)
    starts = [each.start for each in due.values() if not each.generation]
    if starts:
        end = next(each.end for each in chain if each.end > max(starts))
        _raise_floor(objects, layout, partition, end)
    kept = {entry.key for key, each in known.items() if key not in due for entry in each.objects}
    for key, manifest in due.items():
        for entry in manifest.objects:
            if entry.key not in kept:
                _delete(objects, layout.object(entry.key))
        _delete(objects, key)
    return len(due)


def find_orphans(objects: ObjectStore, prefix: str, before: datetime) -> list[str]:
    """Return the keys of data objects that no manifest names and that are not newer than `before`.

    Writers that died before they committed leave them. A newer one may belong to a writer that is
    about to commit.
    """
    layout = Layout(prefix)
    # Data is listed before the manifests: a manifest that was written between the two listings is
    # in the second one, so an object is never taken for an orphan because its manifest came late.
    keys = patiently(lambda: list(objects.list(layout.objects())))
    manifests = patiently(ManifestCache(objects, prefix).read).values()
    named = {layout.object(entry.key) for manifest in manifests for entry in manifest.objects}
    return [key for key in keys if key not in named and _not_newer(objects, key, before)]


def _due(
    known: Mapping[str, Manifest], counted: Collection[str], chain: list[Manifest], before: datetime
) -> dict[str, Manifest]:
    """Return the replaced manifests by key, except the sink's last: sinks find the end by it."""
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


def _raise_floor(objects: ObjectStore, layout: Layout, partition: int, end: int) -> None:
    floors = patiently(lambda: list(objects.list(layout.floors(partition))))
    # The highest floor stays until the next call, so that every listing finds one.
    for lower in floors[:-1]:
        _delete(objects, lower)
    patiently(lambda: objects.put_if_absent(layout.floor(partition, end), b"{}"))


def _not_newer(objects: ObjectStore, key: str, before: datetime) -> bool:
    try:
        return patiently(lambda: objects.written_at(key)) <= before
    except KeyError:  # its writer deleted it meanwhile
        return False


def _delete(objects: ObjectStore, key: str) -> None:
    patiently(lambda: objects.delete(key))
