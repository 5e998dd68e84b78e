"""Which samples a later version of the same pair replaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from itertools import groupby

from kaption.consumers.shards.reader import ShardReader
from kaption.objectstore.dataset.table import COLUMNS, older
from kaption.schemas import Manifest


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
