"""Which samples of a partition compaction leaves out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.checkpoint import ShardEntry
from kaption.objectstore.dataset.index import (
    PartitionShards,
    chain_of,
    last_of_sink,
    read_manifest,
)
from kaption.objectstore.dataset.layout import Layout, Placed
from kaption.objectstore.dataset.objects import DamagedError, DataObjects
from kaption.objectstore.dataset.pair_rows import REPLACED, stored_rows
from kaption.objectstore.dataset.pins import Pin, needed_shards
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
    pinned: frozenset[int] = frozenset()
    """Those of `replaced` that a pin needs, because what replaces them came after it."""
    pair_ids: frozenset[str] = frozenset()
    """Pairs of which a version is taken down. Their earlier versions leave the dataset with it,
    also where a pin needs them."""
    released: frozenset[ShardEntry] = frozenset()
    """Shards whose data is not kept: those in `outdated`, and replaced ones like them."""

    def reason(self, offset: int, pair_id: str) -> str | None:
        """Why a sample is left out: ``taken down``, ``replaced`` or None."""
        if offset in self.taken_down:
            return "taken down"
        if offset not in self.replaced:
            return None
        return None if offset in self.pinned and pair_id not in self.pair_ids else "replaced"


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
    objects: ObjectStore,
    prefix: str,
    stored: PartitionShards,
    takedowns: Takedowns,
    pins: Collection[Pin] = (),
) -> Obsolete:
    """Find the obsolete rows as `find_obsolete` does, by a checkpoint that knows the partition.

    It reads the tables of shards that a takedown may cover and that were not searched for it
    before, and of shards that may hold an older version of a taken down pair; also those of
    replaced shards that stay, because `pins` need them or the sink does. The pins have to be read
    after what is `stored`. Raises KeyError where a shard was merged and removed meanwhile.
    """
    data, head, chain = DataObjects(objects, prefix), stored.checkpoint, chain_of(stored)
    layout = Layout(prefix)
    replaced_shards = _Replaced(layout, stored, chain, pins)

    def table(entry: ShardEntry) -> Any:
        manifest = patiently(partial(read_manifest, objects, layout, entry))
        return rule_table(data.read(manifest, "parquet"))

    taken_down, unknown = dict[int, str](), False
    released, gone = set[ShardEntry](), set[str]()
    suspects = suspected(objects, head, chain, takedowns)
    for entry in suspects:
        try:
            taken_down |= _covered(table(entry), takedowns)
        except DamagedError:
            unknown = True
    for entry in replaced_shards.below(suspects):
        try:
            covered = _covered(table(entry), takedowns)
        except DamagedError:  # nobody can tell what it holds
            released.add(entry)
        else:
            gone |= set(covered.values())
            released |= {entry} if covered else set()
    since = dict(patiently(partial(stored_rows, objects, head.replaced, REPLACED)).tolist())
    replaced = frozenset(since)
    holding = outdated = _shards_of(taken_down, chain)
    pair_ids, older = gone | set(taken_down.values()), sorted(replaced)

    def earlier(entry: ShardEntry) -> bool:
        with suppress(DamagedError):
            rows = table(entry).select(VERSION_COLUMNS).to_pylist()
            return any(row["pair_id"] in pair_ids and row["offset"] in replaced for row in rows)
        return False

    rules = {(TakedownKind.PAIR, each) for each in pair_ids}
    held = [it for it in chain if any_within(older, it)]
    suspects = may_hold(objects, head, held, rules)
    outdated |= {it.start for it in suspects if it.start not in outdated and earlier(it)}
    released |= {it for it in replaced_shards.below(suspects) if it not in released and earlier(it)}
    return Obsolete(
        replaced=replaced,
        taken_down=frozenset(taken_down),
        takedowns=takedowns.digest(),
        holding=holding,
        outdated=outdated,
        unknown=unknown,
        since=since,
        pinned=_pinned(since, pins, chain[0].partition),
        pair_ids=frozenset(pair_ids),
        released=frozenset(released.union(it for it in chain if it.start in outdated)),
    )


class _Replaced:
    """The replaced shards of a partition that stay and whose data is there."""

    def __init__(
        self,
        layout: Layout,
        stored: PartitionShards,
        chain: Sequence[ShardEntry],
        pins: Collection[Pin],
    ) -> None:
        self._starts = [each.start for each in chain]
        head = stored.checkpoint
        empty = {*head.released, *head.emptied}
        needed = needed_shards(pins, chain[0].partition, stored.entries)
        if last := last_of_sink(stored.entries):
            needed.add(last)
        left = needed.difference(chain)
        self._shards = sorted(it for it in left if not empty or layout.key_of(it) not in empty)

    def below(self, chain: Iterable[ShardEntry]) -> list[ShardEntry]:
        """Return those in whose place a shard of the chain is."""
        starts = {each.start for each in chain}
        return [it for it in self._shards if self._over(it.start) in starts]

    def _over(self, offset: int) -> int:
        # A merged shard takes the place of whole shards.
        return self._starts[bisect_right(self._starts, offset) - 1]


def _pinned(since: Mapping[int, int], pins: Iterable[Pin], partition: int) -> frozenset[int]:
    """Return the replaced samples that a pin needs; one that is not finished may need each."""
    if not all(pin.partitions for pin in pins):
        return frozenset(since)
    ends = sorted(pin.partitions[partition].end for pin in pins if partition in pin.partitions)

    def needed(offset: int, replaced_at: int) -> bool:
        first = bisect_right(ends, offset)
        return first < len(ends) and ends[first] <= replaced_at

    return frozenset(offset for offset, at in since.items() if needed(offset, at))


def _covered(table: Any, takedowns: Takedowns) -> dict[int, str]:
    rows = table.to_pylist()
    return {row["offset"]: row["pair_id"] for row in rows if takedowns.hold(row_rules(row))}


def _shards_of(offsets: Iterable[int], chain: Sequence[Placed]) -> frozenset[int]:
    starts = [each.start for each in chain]
    return frozenset(starts[bisect_right(starts, offset) - 1] for offset in offsets)
