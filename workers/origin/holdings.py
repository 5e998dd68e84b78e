"""What a dataset holds, by the counters of its shards."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.counting import Counting
from kaption.objectstore.dataset.counts import (
    count_partition,
    counts_of,
    store_counts,
    stored_counts,
    table_bytes,
)
from kaption.objectstore.dataset.layout import Layout, number_of, partition_of
from kaption.objectstore.dataset.manifests import ManifestCache, live
from kaption.objectstore.dataset.objects import DamagedError, DataObjects
from kaption.objectstore.dataset.takedowns import Takedowns, takedown_keys, takedowns_digest
from kaption.schemas import Manifest
from kaption.schemas.counts import Counts, PartitionCounts
from kaption.workers.compaction.obsolete import find_obsolete

_READERS = 16


@dataclass(frozen=True, slots=True)
class Holdings:
    """The pairs that readers of the dataset get, counted."""

    counts: Counts
    takedowns: int
    """Takedowns that hold."""
    inexact: int
    """Shards or partitions whose older versions and pairs taken down are counted, too, because
    their tables were not read."""
    damaged: tuple[str, ...]
    """Faults of shards that are left out."""


@dataclass
class _Partition:
    """What is known of a partition without its tables."""

    stored: PartitionCounts | None
    new: list[Manifest] = field(default_factory=list)
    """Shards that `stored` does not count."""

    def holds(self, takedowns: str) -> bool:
        """Whether `stored` is all."""
        return self.stored is not None and not self.new and self.stored.takedowns == takedowns

    def table_bytes(self) -> int:
        """What has to be read to know which samples are replaced or taken down."""
        return (self.stored.table_bytes if self.stored else 0) + sum(map(table_bytes, self.new))


class Dataset:
    """The counters of the dataset at `prefix`.

    Reading them takes a few listings, one small object for each partition, and two for each shard
    that came after the last compaction. Which of those shards' samples, and which older ones, are
    replaced or taken down, only the tables tell.
    """

    def __init__(self, objects: ObjectStore, prefix: str) -> None:
        self._objects = objects
        self._prefix = prefix
        self._layout = Layout(prefix)
        self._data = DataObjects(objects, prefix)

    def holdings(self, table_limit: int | None, *, store: bool = False) -> Holdings:
        """Count the pairs. Tables are read only if needed, and if they have at most so many bytes.

        A limit of None sets no bound. With `store`, counts that needed tables are stored for the
        next time. Raises ValueError (pydantic) for a manifest that cannot be parsed.
        """
        taken_down = takedown_keys(self._objects, self._prefix)
        digest = takedowns_digest(taken_down)
        partitions = self._partitions()
        stale = [number for number, each in partitions.items() if not each.holds(digest)]
        exact = {}
        faults: list[str] = []
        needed = sum(partitions[number].table_bytes() for number in stale)
        if stale and (table_limit is None or needed <= table_limit):
            takedowns = Takedowns(self._objects, self._prefix, every_s=float("inf"))
            for number in stale:
                exact[number] = self._exact(number, takedowns, faults, store=store)
            stale = []
        counting = Counting()
        for number, each in partitions.items():
            known = exact.get(number, each.stored)
            if known is not None:
                counting.add(known.counts)
            for counts in self._counts([] if number in exact else each.new, faults):
                counting.add(counts)
        return Holdings(counting.total(), len(taken_down), len(stale), tuple(faults))

    def _partitions(self) -> dict[int, _Partition]:
        keys: defaultdict[int, list[str]] = defaultdict(list)
        for key in self._objects.list(self._layout.manifests()):
            keys[partition_of(key)].append(key)
        newest: dict[int, int] = {}
        for key in self._objects.list(self._layout.merged_manifests()):
            newest[partition_of(key)] = number_of(key)  # keys list in the order of their numbers
        stored = stored_counts(self._objects, self._prefix)
        return {
            number: self._known(number, starts, stored.get(number), newest.get(number, 0))
            for number, starts in sorted(keys.items())
        }

    def _known(
        self, partition: int, keys: list[str], stored: PartitionCounts | None, newest: int
    ) -> _Partition:
        # Without the counters of the last compaction, as after one that was killed, all shards
        # are new.
        if stored is not None and stored.generation == newest:
            new = [key for key in keys if number_of(key) >= stored.end]
            try:
                with ThreadPoolExecutor(_READERS) as pool:
                    read = list(pool.map(self._objects.get, new))
                return _Partition(stored, list(map(Manifest.model_validate_json, read)))
            except KeyError:  # merged after the listing
                pass
        return _Partition(None, self._chain(partition))

    def _chain(self, partition: int) -> list[Manifest]:
        return live(ManifestCache(self._objects, self._prefix, partition).read().values())

    def _exact(
        self, partition: int, takedowns: Takedowns, faults: list[str], *, store: bool
    ) -> PartitionCounts:
        chain = self._chain(partition)
        obsolete = find_obsolete(self._data, chain, takedowns)
        gone = obsolete.replaced | obsolete.taken_down
        counted, found = count_partition(self._data, chain, gone, obsolete.takedowns)
        faults += found
        if store and not found:
            store_counts(self._objects, self._prefix, partition, counted)
        return counted

    def _counts(self, shards: list[Manifest], faults: list[str]) -> list[Counts]:
        def read(manifest: Manifest) -> Counts | str:
            try:
                return counts_of(self._data, manifest)
            except DamagedError as error:
                return str(error)

        with ThreadPoolExecutor(_READERS) as pool:
            read_all = list(pool.map(read, shards))
        faults += [each for each in read_all if isinstance(each, str)]
        return [each for each in read_all if isinstance(each, Counts)]
