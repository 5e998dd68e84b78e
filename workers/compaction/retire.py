"""Removing what no reader needs any more: shards that were merged, and data without a manifest."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.checkpoint import ShardEntry, decoded_checkpoint
from kaption.objectstore.dataset.checkpointer import Checkpointer
from kaption.objectstore.dataset.index import DatasetIndex, chain_of
from kaption.objectstore.dataset.layout import Layout, partition_of, span_of
from kaption.objectstore.dataset.merged import MergedManifests
from kaption.objectstore.open import patiently
from kaption.schemas import Manifest

_READERS = 16


def retire(objects: ObjectStore, prefix: str, partition: int, before: datetime) -> int:
    """Remove the partition's shards that were replaced at `before` or earlier; return how many.

    The floor is raised first, so that no sink trusts a place where a manifest was removed (see
    `kaption.objectstore.dataset.chain`). Then a checkpoint leaves the shards out, so that no reader
    that looks from now on knows them; it names them until they are removed. Last, each shard's data
    is deleted before its manifest: if this is interrupted, the manifest still names what is left.
    """
    layout = Layout(prefix)
    stored = MergedManifests(objects, prefix, partition).stored()
    chain = chain_of(stored)
    due = _due(stored.entries, chain, before)
    if not due and not stored.checkpoint.removing:
        return 0
    starts = [each.start for each in due if not each.generation]
    if starts:
        end = next(each.end for each in chain if each.end > max(starts))
        _raise_floor(objects, layout, partition, end)
    checkpoint = partial(Checkpointer(objects, prefix).write, partition)
    left = patiently(partial(checkpoint, due))
    for key in left.checkpoint.removing:
        manifest = _read(objects, key)
        if manifest is not None:
            kept = _objects_of(objects, layout, left.entries, manifest)
            for entry in manifest.objects:
                if entry.key not in kept:
                    _delete(objects, layout.object(entry.key))
            _delete(objects, key)
    patiently(partial(checkpoint, removed=left.checkpoint.removing))
    return len(due)


def find_orphans(objects: ObjectStore, prefix: str, before: datetime) -> list[str]:
    """Return the keys of objects that are named nowhere and are not newer than `before`.

    A shard's objects are named by its manifest, and those of a checkpoint by it. Writers that died
    before they committed leave them. A newer one may belong to a writer that is about to commit.
    Manifests are read where their entries do not tell what they name.
    """
    layout = Layout(prefix)
    # Objects are listed before what names them: what was written between the two listings is in the
    # second one, so an object is never taken for an orphan because its manifest came late.
    folders = (layout.all_pairs(), layout.all_versions(), layout.all_rules())
    data = patiently(partial(_listed, objects, layout.objects()))
    keys = [key for each in folders for key in patiently(partial(_listed, objects, each))]
    named = _named_by_manifests(objects, prefix, data)
    for key in patiently(partial(_listed, objects, layout.checkpoints())):
        named |= _named_by(objects, key)
    left = [key for key in [*data, *keys] if key not in named]
    return [key for key in left if _not_newer(objects, key, before)]


def _named_by_manifests(objects: ObjectStore, prefix: str, data: list[str]) -> set[str]:
    """Return those of the data objects that a manifest names."""
    layout = Layout(prefix)
    shards = patiently(DatasetIndex(objects, prefix).read).values()
    known = {layout.key_of(entry): entry for each in shards for entry in each.entries}
    try:
        spans = {key: span_of(key) for key in data}
    except ValueError:  # a key that no writer gives: no entry tells whose it is
        spans, known = {}, {}
    # A writer that died may have left objects of the same offsets beside those of a manifest.
    kinds = Counter((span, key.rpartition(".")[2]) for key, span in spans.items())
    doubled = {span for (span, _), count in kinds.items() if count > 1}
    single = set(spans.values()) - doubled
    clear = {key for key, it in known.items() if (it.partition, it.start, it.end) in single}
    unclear = [
        key
        for folder in (layout.manifests(), layout.merged_manifests())
        for key in patiently(partial(_listed, objects, folder))
        if key not in clear
    ]
    with ThreadPoolExecutor(_READERS) as readers:
        manifests = list(filter(None, readers.map(partial(_read, objects), unclear)))
    named = {layout.object(entry.key) for manifest in manifests for entry in manifest.objects}
    told = {(known[key].partition, known[key].start, known[key].end) for key in clear}
    return named | {key for key, span in spans.items() if span in told}


def _listed(objects: ObjectStore, folder: str) -> list[str]:
    return list(objects.list(folder))


def _named_by(objects: ObjectStore, checkpoint: str) -> set[str]:
    try:
        data = patiently(lambda: objects.get(checkpoint))
        return decoded_checkpoint(data, partition_of(checkpoint))[0].named
    except (KeyError, ValueError):  # removed meanwhile, or damaged and so made anew
        return set()


def _due(
    entries: Collection[ShardEntry], chain: list[ShardEntry], before: datetime
) -> list[ShardEntry]:
    """Return the replaced shards, except the sink's last: sinks find the end by it."""
    last = max((each.start for each in entries if not each.generation), default=0)
    latest_us, counted = before.timestamp() * 1e6, set(chain)
    starts = [each.start for each in chain]

    def replaced_us(gone: ShardEntry) -> int:
        first, end = bisect_right(starts, gone.start) - 1, bisect_left(starts, gone.end)
        return min(each.created_us for each in _overlapping(chain[max(first, 0) : end], gone))

    return [
        each
        for each in entries
        if each not in counted
        and (each.generation or each.start != last)
        and replaced_us(each) <= latest_us
    ]


def _overlapping(entries: Iterable[ShardEntry], shard: ShardEntry | Manifest) -> list[ShardEntry]:
    return [each for each in entries if each.start < shard.end and shard.start < each.end]


def _objects_of(
    objects: ObjectStore, layout: Layout, entries: Iterable[ShardEntry], manifest: Manifest
) -> set[str]:
    """Return the objects of the shards in the manifest's place: a writer may write one twice."""
    found = (_read(objects, layout.key_of(each)) for each in _overlapping(entries, manifest))
    return {entry.key for each in found if each is not None for entry in each.objects}


def _read(objects: ObjectStore, key: str) -> Manifest | None:
    try:
        return Manifest.model_validate_json(patiently(lambda: objects.get(key)))
    except KeyError:
        return None


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
