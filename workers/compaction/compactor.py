"""Compaction of a dataset, one partition after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.checkpoint import ShardEntry
from kaption.objectstore.dataset.checkpointer import Checkpointer
from kaption.objectstore.dataset.counts import (
    count_changes,
    counted_shards,
    store_counts,
    stored_counts,
)
from kaption.objectstore.dataset.index import (
    DatasetIndex,
    PartitionShards,
    chain_of,
    read_manifest,
)
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.merged import MergedManifests
from kaption.objectstore.dataset.objects import DamagedError, DataObjects
from kaption.objectstore.dataset.pins import read_pins
from kaption.objectstore.dataset.rule_rows import any_within
from kaption.objectstore.dataset.table import read_parquet
from kaption.objectstore.dataset.takedowns import Takedowns, takedown_keys, takedowns_digest
from kaption.objectstore.open import patiently
from kaption.schemas import Manifest
from kaption.schemas.counts import Counts, PartitionCounts
from kaption.workers.compaction.merge import Merger
from kaption.workers.compaction.obsolete import Obsolete, find_new_obsolete
from kaption.workers.compaction.plan import Limits, Run, plan
from kaption.workers.compaction.unwritten import UnwrittenStore

_READERS = 16


@dataclass(slots=True)
class Compacted:
    """What compaction did, or what it would do in a dry run."""

    before: int = 0
    """Shards that were merged or written anew."""
    after: int = 0
    """Shards that took their place."""
    bytes_before: int = 0
    """Size of the tars of the shards in `before`."""
    bytes_after: int = 0
    """Size of the tars of the shards in `after`; in a dry run the most that it can be."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Samples left out, by reason: ``replaced``, ``taken down``."""
    damaged: list[str] = field(default_factory=list)
    """Shards that cannot be read and were left as they are: the object's key and its fault."""


Progress = Callable[[Compacted], object]
"""Called after each merged shard with what is done so far."""


class Compactor:
    """Merges small shards of the dataset at `prefix`. Several compactors may do so at once.

    A run of shards is written as one shard, which takes their place by one conditional PUT (see
    `MergedManifests`). A compactor that dies before the PUT has changed nothing.
    """

    def __init__(
        self,
        objects: ObjectStore,
        prefix: str,
        limits: Limits,
        *,
        writer: str,
        spool: Path | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`writer` must be unique to this object. For `spool` see `Merger`."""
        self._objects = objects
        self._prefix = prefix
        self._layout = Layout(prefix)
        self._limits = limits
        self._data = DataObjects(objects, prefix)
        self._merger = Merger(objects, prefix, writer, spool, now)

    def partitions(self) -> list[int]:
        """Return the partitions that have shards."""
        return sorted(patiently(DatasetIndex(self._objects, self._prefix).read))

    def run(self, *, dry: bool = False, progress: Progress = lambda _: None) -> Compacted:
        """Compact every partition. With `dry`, only count what that would do.

        Raises ValueError (pydantic) for a manifest that cannot be parsed, Fatal, and Retry where
        the store stays down.
        """
        done = Compacted()
        digest = takedowns_digest(takedown_keys(self._objects, self._prefix))
        # They are read once, when a partition is not done: `every_s` never passes. Those that come
        # meanwhile are for the next run.
        takedowns = Takedowns(self._objects, self._prefix, every_s=float("inf"))
        counted = stored_counts(self._objects, self._prefix)
        index = DatasetIndex(self._objects, self._prefix)
        for partition, stored in sorted(patiently(index.read).items()):
            known = stored, counted.get(partition)
            if self._is_done(*known, digest):
                continue
            if dry:
                self._foresee(partition, takedowns, done)
            else:
                self._compact(partition, known, takedowns, done, progress)
        return done

    def _is_done(
        self, stored: PartitionShards, counted: PartitionCounts | None, takedowns: str
    ) -> bool:
        """Whether an earlier run has left nothing to do, as its checkpoint and counters say."""
        chain, head = chain_of(stored), stored.checkpoint
        end = chain[-1].end
        return (
            counted is not None
            and (counted.end, counted.takedowns) == (end, takedowns)
            and counted.generation == max(each.generation for each in chain)
            and (head.examined, head.takedowns, head.unread) == (end, takedowns, ())
            and not plan(chain, self._limits, ())
        )

    def _compact(
        self,
        partition: int,
        known: tuple[PartitionShards, PartitionCounts | None],
        takedowns: Takedowns,
        done: Compacted,
        progress: Progress,
    ) -> None:
        manifests = MergedManifests(self._objects, self._prefix, partition)
        checkpoint = partial(Checkpointer(self._objects, self._prefix).write, partition)
        damaged: set[ShardEntry] = set()
        again, missing, anew = True, "", False
        while again:
            # What is left out has to be in a checkpoint before: readers that began earlier still
            # have to know it.
            again, stored = False, patiently(partial(checkpoint, anew=anew))
            chain, pins = chain_of(stored), read_pins(self._objects, self._prefix).values()
            try:
                obsolete = find_new_obsolete(self._objects, self._prefix, stored, takedowns, pins)
                for run in self._runs(chain, obsolete, damaged):
                    if self._merged(manifests, run, obsolete, done, damaged):
                        progress(done)
                    else:
                        again = True
            except KeyError as error:
                # Another compactor merged and removed a shard. What is missing in the next
                # checkpoint, too, is an object of it that was lost.
                again, anew, missing = True, missing == str(error), str(error)
        examined = None
        if not obsolete.unknown and obsolete.outdated.isdisjoint(it.start for it in damaged):
            examined = obsolete.takedowns, takedowns.rules(), chain[-1].end
        released = [self._layout.key_of(each) for each in obsolete.released]
        patiently(partial(checkpoint, examined=examined, released=released))
        now = [each for each in manifests.chain() if each.end <= chain[-1].end]
        # Another compactor may have merged shards across that end, and stores counters itself.
        if now and now[-1].end == chain[-1].end:
            self._count(now, obsolete, *known)

    def _merged(
        self,
        manifests: MergedManifests,
        run: Run,
        obsolete: Obsolete,
        done: Compacted,
        damaged: set[ShardEntry],
    ) -> bool:
        try:
            return self._merge(manifests, run, obsolete, done)
        except DamagedError as error:
            damaged.add(ShardEntry.of(error.manifest))
            done.damaged.append(str(error))
            return False

    def _count(
        self,
        chain: list[ShardEntry],
        obsolete: Obsolete,
        before: PartitionShards,
        counted: PartitionCounts | None,
    ) -> None:
        """Store the counters of a chain: those `before`, with what changed since."""
        gone = obsolete.replaced | obsolete.taken_down
        known = -1 if counted is None else counted.end
        earlier = {offset for offset, since in obsolete.since.items() if since < known}
        old = set(counted_shards(before, counted, len(earlier)))
        changed = sorted(gone - earlier)
        kept = {each for each in old.intersection(chain) if not any_within(changed, each)}
        try:
            left, come = map(self._manifests, ([*old - kept], [*set(chain) - kept]))
        except KeyError:  # another compactor merged and removed a shard
            return
        base = counted.counts if old and counted is not None else Counts()
        counts, faults = count_changes(self._data, base, left, earlier, come, gone)
        if not faults:
            now = PartitionCounts(
                end=chain[-1].end,
                generation=max(each.generation for each in chain),
                takedowns=obsolete.takedowns,
                table_bytes=sum(each.table_bytes for each in chain),
                counts=counts,
                replaced=sum(since < chain[-1].end for since in obsolete.since.values()),
            )
            store_counts(self._objects, self._prefix, chain[0].partition, now)

    def _manifests(self, chain: list[ShardEntry]) -> list[Manifest]:
        read = partial(read_manifest, self._objects, self._layout)
        with ThreadPoolExecutor(_READERS) as pool:
            return list(pool.map(lambda each: patiently(partial(read, each)), chain))

    def _foresee(self, partition: int, takedowns: Takedowns, done: Compacted) -> None:
        again, missing, anew = True, "", False
        while again:
            objects = UnwrittenStore(self._objects)
            checkpoint = partial(Checkpointer(objects, self._prefix).write, partition)
            again, stored = False, patiently(partial(checkpoint, anew=anew))
            pins = read_pins(objects, self._prefix).values()
            try:
                obsolete = find_new_obsolete(objects, self._prefix, stored, takedowns, pins)
                foreseen = [
                    (run, self._dropped(run, obsolete))
                    for run in self._runs(chain_of(stored), obsolete, damaged=set())
                ]
            except KeyError as error:  # as in `_compact`
                again, anew, missing = True, missing == str(error), str(error)
        for run, dropped in foreseen:
            _count(done, run, sum(each.tar_bytes for each in run), dropped)

    def _dropped(self, run: Run, obsolete: Obsolete) -> Counter[str]:
        """Count what a merge of the run would leave out. Raises KeyError as `find_new_obsolete`."""
        gone = sorted(obsolete.replaced | obsolete.taken_down)
        dropped = Counter[str]()
        # Some of the replaced samples may have been left out before.
        for manifest in self._manifests([each for each in run if any_within(gone, each)]):
            with suppress(DamagedError):
                table = read_parquet(self._data.read(manifest, "parquet"), ["offset", "pair_id"])
                for row in table.to_pylist():
                    if reason := obsolete.reason(**row):
                        dropped[reason] += 1
        return dropped

    def _runs(
        self, chain: list[ShardEntry], obsolete: Obsolete, damaged: set[ShardEntry]
    ) -> list[Run]:
        """Return the runs in the order in which they are merged. Damaged shards stay as they are.

        Runs with a sample that is taken down come last. Such a sample may have replaced an older
        version in another run. If compaction died after the sample was left out and before the
        older version was, the older one would be the latest again.
        """
        runs: list[Run] = []
        sound: list[ShardEntry] = []
        for each in chain:
            if each in damaged:
                runs += plan(sound, self._limits, obsolete.outdated)
                sound = []
            else:
                sound.append(each)
        runs += plan(sound, self._limits, obsolete.outdated)
        return sorted(runs, key=lambda run: any(each.start in obsolete.holding for each in run))

    def _merge(
        self, manifests: MergedManifests, run: Run, obsolete: Obsolete, done: Compacted
    ) -> bool:
        """Merge a run. Returns False where another compactor changed the chain first."""
        merged, dropped = self._merger.write(run, obsolete)
        if not manifests.commit(run, merged):
            self._merger.discard(merged)
            return False
        _count(done, run, ShardEntry.of(merged).tar_bytes, dropped)
        return True


def _count(done: Compacted, run: Run, size: int, dropped: Counter[str]) -> None:
    done.before += len(run)
    done.after += 1
    done.bytes_before += sum(each.tar_bytes for each in run)
    done.bytes_after += size
    done.dropped += dropped
