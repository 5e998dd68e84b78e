"""Which samples of a partition compaction leaves out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.index import PartitionShards, chain_of, read_manifest
from kaption.objectstore.dataset.layout import Layout, Placed
from kaption.objectstore.dataset.objects import DamagedError, DataObjects
from kaption.objectstore.dataset.pair_rows import REPLACED, stored_rows
from kaption.objectstore.dataset.rule_rows import (
    any_within,
    may_hold,
    row_rules,
    rule_table,
    suspected,
)
from kaption.objectstore.dataset.table import VERSION_COLUMNS, older_versions
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.objectstore.open import patiently
from kaption.schemas import Manifest, TakedownKind


@dataclass(frozen=True, slots=True)
class Obsolete:
    """Samples to leave out, by offset, and the shards that have to be written anew for them."""

    replaced: frozenset[int]
    """Samples of which a later version of the pair is anywhere in the partition, also those that an
    earlier compaction left out."""
    taken_down: frozenset[int]
    """Samples that a takedown covers."""
    takedowns: str
    """Digest of the takedowns."""
    holding: frozenset[int]
    """Starts of the shards that hold a sample that is taken down."""
    outdated: frozenset[int]
    """Starts of the shards to write anew, however large: those in `holding`, and those with an
    older version of a pair that is taken down. Without its successor the older version would be the
    latest again."""
    unknown: bool = False
    """Whether the table of a shard could not be read."""
    since: Mapping[int, int] = field(default_factory=dict)
    """For each of `replaced` the offset since which it is, as in `REPLACED`, if that is known."""


def find_obsolete(
    objects: DataObjects, chain: Sequence[Manifest], takedowns: Takedowns
) -> Obsolete:
    """Read the tables of a partition's shards; keep three columns of each in memory.

    All versions of a pair are in one partition, that of its key, unless the number of the topic's
    partitions was changed. A version in a shard whose table is damaged replaces nothing.
    """
    tables: list[Any] = []
    taken_down: dict[int, str] = {}
    for manifest in chain:
        with suppress(DamagedError):
            table = rule_table(objects.read(manifest, "parquet"))
            tables.append(table.select(VERSION_COLUMNS))
            taken_down |= _covered(table, takedowns)
    replaced = older_versions(tables).to_pylist() if tables else []
    pair_ids = set(taken_down.values())
    predecessors = [row["offset"] for row in replaced if row["pair_id"] in pair_ids]
    return Obsolete(
        replaced=frozenset(row["offset"] for row in replaced),
        taken_down=frozenset(taken_down),
        takedowns=takedowns.digest(),
        holding=_shards_of(taken_down, chain),
        outdated=_shards_of([*taken_down, *predecessors], chain),
    )


def find_new_obsolete(
    objects: ObjectStore, prefix: str, stored: PartitionShards, takedowns: Takedowns
) -> Obsolete:
    """Find the obsolete rows as `find_obsolete` does, by a checkpoint that knows the partition.

    It reads the tables of shards that a takedown may cover and that were not searched for it
    before, and of shards that may hold an older version of a taken down pair. Raises KeyError where
    a shard was merged and removed meanwhile.
    """
    data, head, chain = DataObjects(objects, prefix), stored.checkpoint, chain_of(stored)
    read = partial(read_manifest, objects, Layout(prefix))
    taken_down, unknown = dict[int, str](), False
    for entry in suspected(objects, head, chain, takedowns):
        try:
            taken_down |= _covered(
                rule_table(data.read(patiently(partial(read, entry)), "parquet")), takedowns
            )
        except DamagedError:
            unknown = True
    since = dict(patiently(partial(stored_rows, objects, head.replaced, REPLACED)).tolist())
    replaced = frozenset(since)
    holding = outdated = _shards_of(taken_down, chain)
    pair_ids, older = set(taken_down.values()), sorted(replaced)
    rules = {(TakedownKind.PAIR, each) for each in pair_ids}
    left = [each for each in chain if each.start not in outdated and any_within(older, each)]
    for entry in may_hold(objects, head, left, rules):
        with suppress(DamagedError):
            rows = (
                rule_table(data.read(patiently(partial(read, entry)), "parquet"))
                .select(VERSION_COLUMNS)
                .to_pylist()
            )
            if any(row["pair_id"] in pair_ids and row["offset"] in replaced for row in rows):
                outdated |= {entry.start}
    digest, covered = takedowns.digest(), frozenset(taken_down)
    return Obsolete(replaced, covered, digest, holding, outdated, unknown, since)


def _covered(table: Any, takedowns: Takedowns) -> dict[int, str]:
    rows = table.to_pylist()
    return {row["offset"]: row["pair_id"] for row in rows if takedowns.hold(row_rules(row))}


def _shards_of(offsets: Iterable[int], chain: Sequence[Placed]) -> frozenset[int]:
    starts = [each.start for each in chain]
    return frozenset(starts[bisect_right(starts, offset) - 1] for offset in offsets)
