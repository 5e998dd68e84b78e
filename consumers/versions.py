"""Which samples a later version of the same pair replaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from itertools import groupby
from typing import Any

from consumers.shard_reader import ShardReader
from schemas import Manifest

COLUMNS = ["pair_id", "version", "offset"]


def replaced(
    reader: ShardReader,
    manifests: Iterable[Manifest],
    since: Mapping[int, int],
    until: Mapping[int, int],
) -> set[tuple[int, int]]:
    """Partition and offset of every sample that is not its pair's latest version.

    Reads three columns of the shards' tables, a partition at a time (a pair_id is the Kafka key, so
    it stays in its partition while the topic's partitions are not changed). Offsets outside
    [since, until) do not count.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found: set[tuple[int, int]] = set()
    for partition, chain in groupby(manifests, key=lambda each: each.partition):
        first, last = since.get(partition, 0), until.get(partition, 0)
        counted = (pc.field("offset") >= first) & (pc.field("offset") < last)
        tables = [
            pq.read_table(BytesIO(data), columns=COLUMNS).filter(counted)
            for each in chain
            for data in reader.tables(each)
        ]
        if tables:
            found.update((partition, offset) for offset in older(tables)["offset"].to_pylist())
    return found


def older(tables: Sequence[Any]) -> Any:
    """Those rows of one partition's tables of `COLUMNS` that are not their pair's latest.

    The highest version wins, of equal ones the highest offset. A row may be there twice.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    order = [(name, "ascending") for name in COLUMNS]
    rows = pa.concat_tables(tables).sort_by(order)
    this, next_ = rows.slice(0, max(len(rows) - 1, 0)), rows.slice(1)
    same_pair = pc.equal(this["pair_id"], next_["pair_id"])
    return this.filter(pc.and_(same_pair, pc.not_equal(this["offset"], next_["offset"])))
