"""Which samples a later version of the same pair replaces."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kaption.consumers.shards.index import ShardIndex
from kaption.consumers.shards.reader import MergedError, ShardReader
from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.pair_rows import (
    REPLACED,
    ROW,
    LatestRows,
    of_same_pairs,
    ordered,
    pair_rows,
    stored_rows,
)
from kaption.objectstore.dataset.table import VERSION_COLUMNS, read_parquet
from kaption.objectstore.open import patiently
from kaption.schemas import CleanPair

if TYPE_CHECKING:
    from kaption.objectstore.dataset.pair_rows import Rows

_BYTES = 48 << 20
"""What is remembered of partitions, above which the oldest is forgotten."""


class Replacements:
    """Asks whether a sample is replaced by another one at an offset below `until`.

    What the partition's checkpoint says is one object. Of the shards that came after it, three
    columns of the tables are read. Both happens when the first sample of the partition is asked
    for. The pair_id is the Kafka key, so all versions of a pair are in one partition while the
    number of partitions stays the same.
    """

    def __init__(
        self, objects: ObjectStore, reader: ShardReader, index: ShardIndex, until: Mapping[int, int]
    ) -> None:
        self._objects = objects
        self._reader = reader
        self._index = index
        self._until = until
        self._known: dict[int, _PartitionVersions] = {}

    def hold(self, partition: int, offset: int, pair: CleanPair) -> bool:
        """Return whether the sample is replaced."""
        if partition not in self._known:
            self._known[partition] = self._read(partition)
            while len(self._known) > 1 and sum(it.bytes for it in self._known.values()) > _BYTES:
                del self._known[next(iter(self._known))]
        return self._known[partition].replaced(pair, offset)

    def _read(self, partition: int) -> _PartitionVersions:
        while True:
            try:
                return self._partition(partition)
            except MergedError:
                continue

    def _partition(self, partition: int) -> _PartitionVersions:
        until, newer = self._until[partition], self._newer(partition)
        head = self._index.checkpoint(partition)
        try:
            older = patiently(partial(stored_rows, self._objects, head.replaced, REPLACED))
            if len(newer):
                # A new shard may hold a lower version than an older one. A shard that could not be
                # read for the checkpoint may hold a version that any other replaces.
                names = head.pairs if head.unread else (head.raised,)
                earlier = [
                    of_same_pairs(patiently(partial(stored_rows, self._objects, each, ROW)), newer)
                    for each in names
                ]
                newer = ordered(np.concatenate([newer, *earlier]))
        except KeyError as error:
            self._index.lost(partition, head)
            raise MergedError from error
        older = older[older["since"] < until]
        return _PartitionVersions(older["offset"], newer[newer["offset"] < until])

    def _newer(self, partition: int) -> Rows:
        rows = [np.empty(0, ROW)]
        for each in self._index.new(partition, self._until[partition]):
            data = self._reader.table(each)
            if data is not None:
                table = read_parquet(data, VERSION_COLUMNS)
                rows.append(pair_rows(*(table[name].to_pylist() for name in VERSION_COLUMNS)))
        return ordered(np.concatenate(rows))


class _PartitionVersions:
    def __init__(self, older: NDArray[np.int64], newer: Rows) -> None:
        self._older = np.ascontiguousarray(older)
        self._newer = LatestRows(newer)
        self.bytes = older.nbytes + newer.nbytes

    def replaced(self, pair: CleanPair, offset: int) -> bool:
        place = int(np.searchsorted(self._older, offset))
        if place < len(self._older) and int(self._older[place]) == offset:
            return True
        return self._newer.replaces(pair.pair_id, pair.version, offset)
