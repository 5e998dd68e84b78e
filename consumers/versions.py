"""Which samples a later version of the same pair replaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from itertools import groupby
from typing import Any

from consumers.shard_reader import ShardReader
from schemas import Manifest


def replaced(
    reader: ShardReader,
    manifests: Iterable[Manifest],
    since: Mapping[int, int],
    until: Mapping[int, int],
) -> set[tuple[int, int]]:
    """Partition and offset of every sample that is not its pair's latest version.

    Reads three columns of the shards' tables, a partition at a time (a pair_id is the Kafka key, so
    it stays in its partition while the topic's partitions are not changed). Offsets outside
    [since, until) do not count. The highest version wins, of equal ones the highest offset.
    """
    found: set[tuple[int, int]] = set()
    for partition, chain in groupby(manifests, key=lambda each: each.partition):
        data = [table for each in chain if (table := reader.table(each)) is not None]
        if data:
            limits = since.get(partition, 0), until.get(partition, 0)
            found.update((partition, offset) for offset in _replaced(data, *limits))
    return found


def _replaced(data: list[bytes], since: int, until: int) -> list[int]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    columns = ["pair_id", "version", "offset"]
    table = pa.concat_tables([pq.read_table(BytesIO(each), columns=columns) for each in data])
    offsets = table["offset"]
    table = table.filter(pc.and_(pc.greater_equal(offsets, since), pc.less(offsets, until)))
    table = table.sort_by(
        [("pair_id", "ascending"), ("version", "ascending"), ("offset", "ascending")]
    )
    same_pair_follows = pc.equal(table["pair_id"][:-1], table["pair_id"][1:])
    older: Any = table["offset"][:-1].filter(same_pair_follows)
    return [int(offset) for offset in older.to_pylist()]
