"""Counters of shards and of partitions: how they are read, and kept exact.

Readers of the dataset read manifests alone, so a shard's counters are an object of their own: ten
thousand pairs come from thousands of sites, and every process of a training would read them all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress

from pydantic import ValidationError

from kaption.objectstore.dataset.checkpoint import ShardEntry
from kaption.objectstore.dataset.counting import COLUMNS, OTHERS, Counting
from kaption.objectstore.dataset.index import PartitionShards, chain_of
from kaption.objectstore.dataset.layout import Layout, number_of
from kaption.objectstore.dataset.objects import DamagedError, DataObjects
from kaption.objectstore.dataset.table import read_parquet
from kaption.objectstore.open import patiently
from kaption.objectstore.store import ObjectStore
from kaption.schemas import Manifest
from kaption.schemas.counts import Counts, PartitionCounts
from kaption.schemas.manifest import entry_of


def counts_of(objects: DataObjects, manifest: Manifest) -> Counts:
    """A shard's counters. Its table is counted where they are missing, as in older versions.

    Raises DamagedError.
    """
    if any(entry.format == "counts" for entry in manifest.objects):
        with suppress(DamagedError, ValidationError):
            return Counts.model_validate_json(objects.read(manifest, "counts"))
    return _of_table(objects, manifest, frozenset())


def count_partition(
    objects: DataObjects, chain: Sequence[Manifest], gone: Collection[int], takedowns: str
) -> tuple[PartitionCounts, list[str]]:
    """Count a partition's shards, which are not none, without the samples at the offsets `gone`.

    Only shards with such samples have their tables read. Returns the faults of damaged shards,
    too, which are left out. `takedowns` is the digest of those that `gone` comes from.
    """
    counts, faults = count_changes(objects, Counts(), (), (), chain, gone)
    counted = PartitionCounts(
        end=chain[-1].end,
        generation=max(each.generation for each in chain),
        takedowns=takedowns,
        table_bytes=sum(map(table_bytes, chain)),
        counts=counts,
    )
    return counted, faults


def count_changes(
    objects: DataObjects,
    known: Counts,
    old: Sequence[Manifest],
    earlier: Collection[int],
    new: Sequence[Manifest],
    gone: Collection[int],
) -> tuple[Counts, list[str]]:
    """Return the `known` counters with the shards `new` in place of `old`, and faults.

    `old` were counted without the samples at the offsets `earlier`; `new` are without those `gone`.
    """
    counting = Counting()
    counting.add(known)
    faults = _each_shard(objects, old, earlier, counting.remove)
    faults += _each_shard(objects, new, gone, counting.add)
    return counting.total(), faults


def counted_shards(
    stored: PartitionShards, counted: PartitionCounts | None, replaced: int
) -> list[ShardEntry]:
    """Return the shards that the counters of a compaction are of, or none if that is not certain.

    They are of those shards unless there was another compaction since, a takedown may cover one of
    their samples, or another number of samples than `replaced` was known to be replaced.
    """
    chain, head = chain_of(stored), stored.checkpoint
    if (
        counted is None
        or counted.replaced != replaced
        or counted.generation != max(each.generation for each in chain)
        or counted.takedowns != head.takedowns
        or counted.end > head.examined
        # What is in it cannot be taken away again.
        or any(OTHERS in tally for name, tally in counted.counts if name != "pairs")
    ):
        return []
    return [each for each in chain if each.end <= counted.end]


def table_bytes(manifest: Manifest) -> int:
    """Size of a shard's table."""
    return entry_of(manifest, "parquet").bytes


def stored_counts(objects: ObjectStore, prefix: str) -> dict[int, PartitionCounts]:
    """Return the counters of partitions that are stored.

    What cannot be parsed is left out: it is made of the shards, and is made again.
    """
    found: dict[int, PartitionCounts] = {}
    for key in objects.list(Layout(prefix).counts()):
        with suppress(KeyError, ValidationError):
            found[number_of(key)] = PartitionCounts.model_validate_json(objects.get(key))
    return found


def store_counts(
    objects: ObjectStore, prefix: str, partition: int, counted: PartitionCounts
) -> None:
    """Store the counters of a partition. The last ones that were stored hold."""
    key = Layout(prefix).partition_counts(partition)
    data = counted.model_dump_json().encode()
    patiently(lambda: objects.put(key, data, media_type="application/json"))


def _each_shard(
    objects: DataObjects,
    shards: Iterable[Manifest],
    gone: Collection[int],
    count: Callable[[Counts], object],
) -> list[str]:
    left_out, faults = sorted(gone), list[str]()
    for manifest in shards:
        first, end = (bisect_left(left_out, at) for at in (manifest.start, manifest.end))
        here = frozenset(left_out[first:end])
        try:
            count(_of_table(objects, manifest, here) if here else counts_of(objects, manifest))
        except DamagedError as error:
            faults.append(str(error))
    return faults


def _of_table(objects: DataObjects, manifest: Manifest, left_out: Collection[int]) -> Counts:
    table = read_parquet(objects.read(manifest, "parquet"), COLUMNS)
    counting = Counting()
    for row in table.to_pylist():
        if row["offset"] not in left_out:
            counting.add_row(row)
    return counting.total()
