"""Which samples of a partition compaction leaves out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from kaption.objectstore.dataset.objects import DamagedError, DataObjects
from kaption.objectstore.dataset.table import VERSION_COLUMNS, older_versions
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.schemas import BlobRef, CleanPair, ImageRef, Manifest

_RULE_COLUMNS = ["sha256", "original_sha256", "image_url", "crawled_url", "page_url"]
"""What a takedown looks at, besides the pair_id."""


@dataclass(frozen=True, slots=True)
class Obsolete:
    """Samples to leave out, by offset, and the shards that have to be written anew for them."""

    replaced: frozenset[int]
    """Samples of which a later version of the pair is anywhere in the partition."""
    taken_down: frozenset[int]
    """Samples that a takedown covers."""
    holding: frozenset[Manifest]
    """Shards that hold a sample that is taken down."""
    outdated: frozenset[Manifest]
    """Shards to write anew, however large: those in `holding`, and those with an older version of a
    pair that is taken down. Without its successor the older version would be the latest again."""


def find_obsolete(
    objects: DataObjects, chain: Sequence[Manifest], takedowns: Takedowns
) -> Obsolete:
    """Read the tables of a partition's shards; keep three columns of each in memory.

    All versions of a pair are in one partition, that of its key, unless the number of the topic's
    partitions was changed. A version in a shard whose table is damaged replaces nothing.
    """
    import pyarrow.parquet as pq

    tables: list[Any] = []
    taken_down: dict[int, str] = {}
    for manifest in chain:
        try:
            data = objects.read(manifest, "parquet")
        except DamagedError:
            continue
        table = pq.read_table(BytesIO(data), columns=[*VERSION_COLUMNS, *_RULE_COLUMNS])
        tables.append(table.select(VERSION_COLUMNS))
        for row in table.to_pylist():
            if takedowns.covers(_pair(row)):
                taken_down[row["offset"]] = row["pair_id"]
    replaced = older_versions(tables).to_pylist() if tables else []
    pair_ids = set(taken_down.values())
    predecessors = [row["offset"] for row in replaced if row["pair_id"] in pair_ids]
    return Obsolete(
        replaced=frozenset(row["offset"] for row in replaced),
        taken_down=frozenset(taken_down),
        holding=_shards_of(taken_down, chain),
        outdated=_shards_of([*taken_down, *predecessors], chain),
    )


def _shards_of(offsets: Iterable[int], chain: Sequence[Manifest]) -> frozenset[Manifest]:
    starts = [each.start for each in chain]
    return frozenset(chain[bisect_right(starts, offset) - 1] for offset in offsets)


def _pair(row: dict[str, Any]) -> CleanPair:
    """Return a pair with no more than a takedown looks at."""
    blob = BlobRef.model_construct(sha256=row["sha256"])
    image = ImageRef.model_construct(
        blob=blob,
        original_sha256=row["original_sha256"],
        url=row["image_url"],
        crawled_url=row["crawled_url"],
    )
    return CleanPair.model_construct(pair_id=row["pair_id"], page_url=row["page_url"], image=image)
