"""Which samples of a partition no reader has to get any more."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from kaption.objectstore.dataset.shard import DamagedError, Shards
from kaption.objectstore.dataset.table import COLUMNS, older
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.schemas import BlobRef, CleanPair, ImageRef, Manifest

_COVERED_BY = ["sha256", "original_sha256", "image_url", "crawled_url", "page_url"]


@dataclass(frozen=True, slots=True)
class Obsolete:
    """Offsets of samples."""

    replaced: frozenset[int]
    """Of which a later version of the pair is somewhere in the partition."""
    taken_down: frozenset[int]
    holding: frozenset[Manifest]
    """The shards with something that is taken down,"""
    outdated: frozenset[Manifest]
    """and beside them those with what that had replaced, which would be the latest version again:
    all have to be written anew, however large they are."""


def find_obsolete(shards: Shards, chain: Sequence[Manifest], takedowns: Takedowns) -> Obsolete:
    """Read the tables of one partition's shards; of each, three columns are held.

    A pair's versions are all in the partition of its key, as long as the topic's partitions are not
    changed. Versions in a shard whose table is damaged replace nothing.
    """
    import pyarrow.parquet as pq

    tables: list[Any] = []
    taken_down: dict[int, str] = {}
    for manifest in chain:
        try:
            data = shards.read(manifest, "parquet")
        except DamagedError:
            continue
        table = pq.read_table(BytesIO(data), columns=[*COLUMNS, *_COVERED_BY])
        tables.append(table.select(COLUMNS))
        for row in table.to_pylist():
            if takedowns.covers(_pair(row)):
                taken_down[row["offset"]] = row["pair_id"]
    replaced = older(tables).to_pylist() if tables else []
    names = set(taken_down.values())
    orphaned = [row["offset"] for row in replaced if row["pair_id"] in names]
    return Obsolete(
        replaced=frozenset(row["offset"] for row in replaced),
        taken_down=frozenset(taken_down),
        holding=_shards_of(taken_down, chain),
        outdated=_shards_of([*taken_down, *orphaned], chain),
    )


def _shards_of(offsets: Iterable[int], chain: Sequence[Manifest]) -> frozenset[Manifest]:
    starts = [each.start for each in chain]
    return frozenset(chain[bisect_right(starts, offset) - 1] for offset in offsets)


def _pair(row: dict[str, Any]) -> CleanPair:
    """As much of the pair as a takedown looks at."""
    blob = BlobRef.model_construct(sha256=row["sha256"])
    image = ImageRef.model_construct(
        blob=blob,
        original_sha256=row["original_sha256"],
        url=row["image_url"],
        crawled_url=row["crawled_url"],
    )
    return CleanPair.model_construct(pair_id=row["pair_id"], page_url=row["page_url"], image=image)
