"""Reading samples and tables of shards; damaged objects are left out and reported."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from kaption.consumers.options import OnDamage
from kaption.consumers.shards.index import Shard, ShardIndex
from kaption.consumers.stream import Sample
from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.checkpoint import ShardEntry
from kaption.objectstore.dataset.objects import DamagedError, DataObjects
from kaption.objectstore.dataset.shard import offset_of, parse_sample, untar
from kaption.schemas import CleanPair, Manifest
from kaption.schemas.manifest import entry_of
from kaption.schemas.wire import explain

_log = logging.getLogger(__name__)


class MergedError(Exception):
    """A shard was merged with others and removed since the last look at the store."""


class ShardReader:
    """Reads data objects whole, one at a time. Each damaged one is added to `damaged` by key."""

    def __init__(
        self,
        objects: ObjectStore,
        prefix: str,
        index: ShardIndex,
        damaged: dict[str, str],
        on_damage: OnDamage | None,
    ) -> None:
        self._data = DataObjects(objects, prefix)
        self._index = index
        self._damaged = damaged
        self._on_damage = on_damage

    def samples(self, shard: Shard, offset: int = 0) -> Iterator[tuple[int, Sample]]:
        """Give the shard's samples from `offset` on, each with its offset, ascending.

        Where the shard was merged and removed meanwhile, its offsets are read from the merged one.
        """
        offset = max(offset, shard.start)
        while offset < shard.end:
            manifest = self._index.manifest(shard.partition, offset)
            try:
                data = self._data.read(manifest, "webdataset")
            except DamagedError as error:
                if self._index.moved(ShardEntry.of(manifest)):
                    continue
                self._report(error.key, error.fault)
            else:
                yield from self._parsed(manifest, data, offset, shard.end)
            offset = manifest.end

    def table(self, entry: ShardEntry) -> bytes | None:
        """Return the shard's Parquet object, or None where it is damaged.

        Raises MergedError where the shard was merged and removed meanwhile.
        """
        manifest = self._index.manifest_of(entry)
        if manifest is None:
            raise MergedError
        try:
            return self._data.read(manifest, "parquet")
        except DamagedError as error:
            if self._index.moved(entry):
                raise MergedError from error
            self._report(error.key, error.fault)
            return None

    def find(self, places: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Sample]:
        """Return samples by partition and offset, without those that are gone.

        Each shard is read once.
        """
        wanted = sorted(set(places))
        found: dict[tuple[int, int], Sample] = {}
        while wanted:
            partition, first = wanted[0]
            end = self._index.at(partition, first).end
            here = {place for place in wanted if place < (partition, end)}
            for offset, sample in self.samples(Shard(partition, first, end)):
                if (partition, offset) in here:
                    found[partition, offset] = sample
            wanted = [place for place in wanted if place not in here]
        return found

    def _parsed(
        self, manifest: Manifest, data: bytes, start: int, end: int
    ) -> Iterator[tuple[int, Sample]]:
        for key, members in untar(data):
            offset = offset_of(key)
            if not start <= offset < end:
                continue
            try:
                sample = Sample(*parse_sample(members))
            except ValueError as error:
                told = explain(error, CleanPair) if isinstance(error, ValidationError) else error
                self._report(f"{entry_of(manifest, 'webdataset').key}/{key}", str(told))
                continue
            yield offset, sample

    def _report(self, key: str, fault: str) -> None:
        if key in self._damaged:
            return
        self._damaged[key] = fault
        _log.warning("%s is left out: %s", key, fault)
        if self._on_damage is not None:
            self._on_damage(key, fault)
