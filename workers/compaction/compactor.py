"""Compaction of a dataset, one partition after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.merged import MergedManifests
from kaption.objectstore.dataset.objects import DamagedError, DataObjects
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.objectstore.open import patiently
from kaption.schemas import Manifest
from kaption.workers.compaction.merge import Merger
from kaption.workers.compaction.obsolete import Obsolete, find_obsolete
from kaption.workers.compaction.plan import Limits, Run, plan, tar_bytes


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
        self._limits = limits
        self._data = DataObjects(objects, prefix)
        self._merger = Merger(objects, prefix, writer, spool, now)

    def partitions(self) -> list[int]:
        """Return the partitions that have shards."""
        manifests = patiently(lambda: read_manifests(self._objects, self._prefix))
        return sorted({each.partition for each in manifests})

    def run(self, *, dry: bool = False, progress: Progress = lambda _: None) -> Compacted:
        """Compact every partition. With `dry`, only count what that would do.

        Raises ValueError (pydantic) for a manifest that cannot be parsed, Fatal, and Retry where
        the store stays down.
        """
        done = Compacted()
        for partition in self.partitions():
            if dry:
                self._foresee(partition, done)
            else:
                self._compact(partition, done, progress)
        return done

    def _compact(self, partition: int, done: Compacted, progress: Progress) -> None:
        manifests = MergedManifests(self._objects, self._prefix, partition)
        damaged: set[Manifest] = set()
        again = True
        while again:
            again, chain = False, manifests.chain()
            obsolete = self._obsolete(chain)
            for run in self._runs(chain, obsolete, damaged):
                try:
                    merged = self._merge(manifests, run, obsolete, done)
                except DamagedError as error:
                    damaged.add(error.manifest)
                    done.damaged.append(str(error))
                    merged = False
                if merged:
                    progress(done)
                else:
                    again = True

    def _foresee(self, partition: int, done: Compacted) -> None:
        def within(run: Run, offsets: frozenset[int]) -> int:
            return sum(run[0].start <= offset < run[-1].end for offset in offsets)

        chain = MergedManifests(self._objects, self._prefix, partition).chain()
        obsolete = self._obsolete(chain)
        replaced = obsolete.replaced - obsolete.taken_down
        for run in self._runs(chain, obsolete, damaged=set()):
            size = sum(map(tar_bytes, run))
            counts = {
                "taken down": within(run, obsolete.taken_down),
                "replaced": within(run, replaced),
            }
            _count(done, run, size, Counter(counts))

    def _obsolete(self, chain: list[Manifest]) -> Obsolete:
        # The takedowns are read once for each look at the chain: `every_s` never passes.
        takedowns = Takedowns(self._objects, self._prefix, every_s=float("inf"))
        return find_obsolete(self._data, chain, takedowns)

    def _runs(self, chain: list[Manifest], obsolete: Obsolete, damaged: set[Manifest]) -> list[Run]:
        """Return the runs in the order in which they are merged. Damaged shards stay as they are.

        Runs with a sample that is taken down come last. Such a sample may have replaced an older
        version in another run. If compaction died after the sample was left out and before the
        older version was, the older one would be the latest again.
        """
        runs: list[Run] = []
        sound: list[Manifest] = []
        for each in chain:
            if each in damaged:
                runs += plan(sound, self._limits, obsolete.outdated)
                sound = []
            else:
                sound.append(each)
        runs += plan(sound, self._limits, obsolete.outdated)
        return sorted(runs, key=lambda run: not obsolete.holding.isdisjoint(run))

    def _merge(
        self, manifests: MergedManifests, run: Run, obsolete: Obsolete, done: Compacted
    ) -> bool:
        """Merge a run. Returns False where another compactor changed the chain first."""
        merged, dropped = self._merger.write(run, obsolete)
        if not manifests.commit(run, merged):
            self._merger.discard(merged)
            return False
        _count(done, run, tar_bytes(merged), dropped)
        return True


def _count(done: Compacted, run: Run, size: int, dropped: Counter[str]) -> None:
    done.before += len(run)
    done.after += 1
    done.bytes_before += sum(map(tar_bytes, run))
    done.bytes_after += size
    done.dropped += dropped
