"""Which samples a later version of the same pair replaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from itertools import groupby

from kaption.consumers.shards.reader import ShardReader
from kaption.objectstore.dataset.table import VERSION_COLUMNS, older_versions
from kaption.schemas import Manifest


def replaced(
    reader: ShardReader,
    manifests: Iterable[Manifest],
    since: Mapping[int, int],
    until: Mapping[int, int],
) -> set[tuple[int, int]]:
    """Return partition and offset of every sample that is not the latest version of its pair.

    Only offsets in [since, until) of each partition count. Three columns of the shards' tables are
    read, one partition after the other: the pair_id is the Kafka key, so all versions of a pair are
    in one partition while the number of partitions stays the same.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found: set[tuple[int, int]] = set()
    for partition, chain in groupby(manifests, key=lambda each: each.partition):
        first, last = since.get(partition, 0), until.get(partition, 0)
        counted = (pc.field("offset") >= first) & (pc.field("offset") < last)
        tables = [
            pq.read_table(BytesIO(data), columns=VERSION_COLUMNS).filter(counted)
            for each in chain
            for data in reader.tables(each)
        ]
        if tables:
            old = older_versions(tables)["offset"].to_pylist()
            found.update((partition, offset) for offset in old)
    return found
