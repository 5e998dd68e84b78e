"""Removing what no reader needs any more: shards that were merged, and data without a manifest."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.checkpoint import ShardEntry, decoded_checkpoint
from kaption.objectstore.dataset.checkpointer import Checkpointer
from kaption.objectstore.dataset.index import DatasetIndex, chain_of, last_of_sink
from kaption.objectstore.dataset.layout import Layout, partition_of, span_of
from kaption.objectstore.dataset.merged import MergedManifests
from kaption.objectstore.dataset.pins import needed_shards, read_pins
from kaption.objectstore.open import patiently
from kaption.schemas import Manifest

_READERS = 16


@dataclass(slots=True)
class Retired:
    """What was removed, or would be, and what pins hold back."""

    shards: int = 0
    """Replaced shards of which nothing is left."""
    held: int = 0
    """Replaced shards that are kept for pins alone."""
    held_bytes: int = 0
    """Size of their tars and tables."""


def retire(objects: ObjectStore, prefix: str, before: datetime, *, dry: bool = False) -> Retired:
    """Remove the shards that were replaced at `before` or earlier and that no pin needs.

    The last one of the sink stays too, because sinks find the end by its manifest. Of a shard that
    stays and was released for a takedown, the data is removed and not the manifest. With `dry`,
    only count.
    """
    stored = patiently(DatasetIndex(objects, prefix).read)
    due = {number: _due(each.entries, chain_of(each), before) for number, each in stored.items()}
    last = {number: last_of_sink(each.entries) for number, each in stored.items()}
    # The pins are read after the chains: see `kaption.objectstore.dataset.pins`.
    asked = any(each != last[number] for number in due for each in due[number])
    pins = read_pins(objects, prefix).values() if asked else ()
    done, layout = Retired(), Layout(prefix)
    for partition, shards in stored.items():
        needed = needed_shards(pins, partition, shards.entries) | {last[partition]}
        gone = [each for each in due[partition] if each not in needed]
        keys = {layout.key_of(each): each for each in due[partition] if each in needed}
        released = keys.keys() & shards.checkpoint.released
        left = keys.keys() - released - {*shards.checkpoint.emptied}
        held = [keys[key] for key in left if keys[key] != last[partition]]
        done.shards += len(gone)
        done.held += len(held)
        done.held_bytes += sum(each.tar_bytes + each.table_bytes for each in held)
        if not dry and (gone or released or shards.checkpoint.removing):
            _remove(objects, prefix, partition, gone, released)
    return done


def _remove(
    objects: ObjectStore,
    prefix: str,
    partition: int,
    gone: list[ShardEntry],
    released: Collection[str],
) -> None:
    """Remove shards, and the data of those whose manifests have the keys `released`.

    The floor is raised first, so that no sink trusts a place where a manifest was removed (see
    `kaption.objectstore.dataset.chain`). Then a checkpoint leaves the shards out, so that no reader
    that looks from now on knows them; it names them until they are removed. Last, each shard's data
    is deleted before its manifest: if this is interrupted, the manifest still names what is left.
    """
    layout = Layout(prefix)
    starts = [each.start for each in gone if not each.generation]
    if starts:
        chain = MergedManifests(objects, prefix, partition).chain()
        end = next(each.end for each in chain if each.end > max(starts))
        _raise_floor(objects, layout, partition, end)
    checkpoint = partial(Checkpointer(objects, prefix).write, partition)
    left = patiently(partial(checkpoint, gone))
    removing = left.checkpoint.removing
    others = [it for it in left.entries if not released or layout.key_of(it) not in released]
    for key in [*released, *removing]:
        manifest = _read(objects, key)
        if manifest is not None:
            kept = _objects_of(objects, layout, others, manifest)
            for entry in manifest.objects:
                if entry.key not in kept:
                    _delete(objects, layout.object(entry.key))
            if key not in released:
                _delete(objects, key)
    patiently(partial(checkpoint, removed=removing, emptied=released))


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
    """Return the shards that were replaced at `before` or earlier."""
    latest_us, counted = before.timestamp() * 1e6, set(chain)
    starts = [each.start for each in chain]

    def replaced_us(gone: ShardEntry) -> int:
        first, end = bisect_right(starts, gone.start) - 1, bisect_left(starts, gone.end)
        return min(each.created_us for each in _overlapping(chain[max(first, 0) : end], gone))

    return [each for each in entries if each not in counted and replaced_us(each) <= latest_us]


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
