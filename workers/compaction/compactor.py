"""Compaction of a dataset, a partition at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.chain import MergedManifests
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.shard import DamagedError, Shards
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.objectstore.patience import patiently
from kaption.schemas import Manifest
from kaption.workers.compaction.merge import Merger
from kaption.workers.compaction.obsolete import Obsolete, find_obsolete
from kaption.workers.compaction.plan import Limits, Run, plan, tar_bytes


@dataclass(slots=True)
class Compacted:
    """What was done, or would be."""

    before: int = 0
    """Shards that were merged or written anew,"""
    after: int = 0
    """into so many;"""
    bytes_before: int = 0
    """of their tars."""
    bytes_after: int = 0
    """At most, where it is only foreseen."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Samples: ``replaced``, ``taken down``."""
    damaged: list[str] = field(default_factory=list)
    """What cannot be read, and so was left as it is."""


class Compactor:
    """Merges small shards of the dataset at `prefix`; several may do so at once.

    A run of shards is written as one, which then takes their place by one conditional PUT (see
    `MergedManifests`). Whoever dies before has changed nothing. `writer` is unique to this object.
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
        told: Callable[[Compacted], None] = lambda _: None,
    ) -> None:
        """`told` is called with what is done so far, after each shard."""
        self._objects = objects
        self._prefix = prefix
        self._limits = limits
        self._shards = Shards(objects, prefix)
        self._merger = Merger(objects, prefix, writer, spool, now)
        self._told = told

    def partitions(self) -> list[int]:
        """Those that hold shards."""
        manifests = patiently(lambda: read_manifests(self._objects, self._prefix))
        return sorted({each.partition for each in manifests})

    def run(self, *, dry: bool = False) -> Compacted:
        """Compact every partition; with `dry` only find out what that would do.

        Raises ValueError (pydantic) where a manifest or a takedown cannot be read, Fatal, and Retry
        where the store is away for long.
        """
        done = Compacted()
        for partition in self.partitions():
            self._compact(partition, done, dry)
        return done

    def _compact(self, partition: int, done: Compacted, dry: bool) -> None:
        manifests = MergedManifests(self._objects, self._prefix, partition)
        takedowns = Takedowns(self._objects, self._prefix, every_s=float("inf"))
        damaged: set[Manifest] = set()
        again = True
        while again:
            again, chain = False, manifests.chain()
            obsolete = find_obsolete(self._shards, chain, takedowns)
            for run in self._runs(chain, obsolete, damaged):
                if dry:
                    self._foresee(run, obsolete, done)
                    continue
                try:
                    done_here = self._merge(manifests, run, obsolete, done)
                except DamagedError as error:
                    damaged.add(error.manifest)
                    done.damaged.append(str(error))
                    done_here = False
                again = again or not done_here

    def _runs(self, chain: list[Manifest], obsolete: Obsolete, damaged: set[Manifest]) -> list[Run]:
        """In the order they are to be merged; a damaged shard stays as it is, between them.

        Where something is taken down comes last: what it had replaced is gone by then, and would
        else be the latest version if we died in between.
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
        """Whether it was we who did it; else somebody else has changed what counts."""
        merged, dropped = self._merger.write(run, obsolete)
        if not manifests.commit(run, merged):
            self._merger.discard(merged)
            return False
        done.before += len(run)
        done.after += 1
        done.bytes_before += sum(map(tar_bytes, run))
        done.bytes_after += tar_bytes(merged)
        done.dropped += dropped
        self._told(done)
        return True

    def _foresee(self, run: Run, obsolete: Obsolete, done: Compacted) -> None:
        def within(offsets: frozenset[int]) -> int:
            return sum(run[0].start <= offset < run[-1].end for offset in offsets)

        done.before += len(run)
        done.after += 1
        done.bytes_before += sum(map(tar_bytes, run))
        done.bytes_after += sum(map(tar_bytes, run))
        done.dropped += Counter(
            {
                "taken down": within(obsolete.taken_down),
                "replaced": within(obsolete.replaced - obsolete.taken_down),
            }
        )
