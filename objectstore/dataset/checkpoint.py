"""A checkpoint: what the manifests of a partition say, in one small object.

A reader takes the newest checkpoint of a partition and the manifests that came after it, so a
dataset of many shards is known by a few calls. Checkpoints are numbered, and the store lets only
one writer write a number. So each one rests on the one before, and what one of them has left out
(a manifest that is about to be removed) does not come back. They can be made anew at any time from
the manifests and tables, which stay the truth.

Besides its entries a checkpoint names objects that say, for the offsets below its `end`,

- which pairs lie where, for whoever writes the next checkpoint,
- which samples a version of the same pair replaces, for readers, and
- which shards a takedown may cover, for compaction.
"""

from __future__ import annotations

from io import BytesIO
from itertools import repeat
from typing import NamedTuple

from kaption.objectstore.dataset.table import read_parquet
from kaption.schemas import Manifest
from kaption.schemas.record import Record

_HEAD = b"kaption"
_COLUMNS = ("start", "end", "generation", "pairs", "tar_bytes", "table_bytes", "created_us")


class ShardEntry(NamedTuple):
    """What a manifest says of its shard, apart from its objects' keys and digests."""

    partition: int
    start: int
    end: int
    generation: int
    pairs: int
    tar_bytes: int
    table_bytes: int
    created_us: int
    """Microseconds since 1970."""
    parts: tuple[int, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> ShardEntry:
        """The manifest's entry."""
        sizes = {entry.format: entry.bytes for entry in manifest.objects}
        return cls(
            partition=manifest.partition,
            start=manifest.start,
            end=manifest.end,
            generation=manifest.generation,
            pairs=manifest.pairs,
            tar_bytes=sizes.get("webdataset", 0),
            table_bytes=sizes.get("parquet", 0),
            created_us=round(manifest.created_at.timestamp() * 1_000_000),
            parts=manifest.parts,
        )


class PartitionCheckpoint(Record):
    """What is known of a partition. The default knows nothing."""

    number: int = 0
    """0: there is no checkpoint."""
    end: int = 0
    """Every row below this offset was compared with the later ones, except those of `unread`."""
    unread: tuple[tuple[int, int], ...] = ()
    """Start and end of shards below `end` whose rows could not be read."""
    last: int | None = None
    """The start of the sink's newest manifest among the entries."""
    generation: int = 0
    """The highest among the entries."""
    topic_id: str | None = None
    """The id of the topic that the offsets are of, where the manifests name it."""
    pairs: tuple[str, ...] = ()
    """Keys of the objects with the pairs below `end`."""
    replaced: str | None = None
    """Key of the object with the samples that another one replaces. None: there are none."""
    raised: str | None = None
    """Key of the object with the latest row of each pair whose version is above 1. A lower version
    that comes later replaces nothing. None: there are none."""
    removing: tuple[str, ...] = ()
    """Keys of manifests without an entry that compaction removes, with their data."""
    released: tuple[str, ...] = ()
    """Keys of manifests whose data compaction removes even where they stay: a takedown covers one
    of the shard's samples, or a later version of one."""
    emptied: tuple[str, ...] = ()
    """Keys of manifests whose data was removed for that. They stay, because the sink finds its end
    by them, or because a pin deals its shards by them and reads samples from what counts now."""
    takedowns: str = ""
    """Digest of the takedowns that cover no sample below `examined`."""
    examined: int = 0
    examined_rules: str | None = None
    """Key of the object with the ids of the rules of those takedowns. None: there are none."""
    rule_blocks: tuple[str, ...] = ()
    """Keys of the objects that say which shards a rule may cover. If `rules_for` or `normal` come
    to write rules otherwise, this field needs another name: what is stored would miss them."""

    @property
    def named(self) -> set[str]:
        """Keys of the objects that the checkpoint names."""
        single = (self.replaced, self.raised, self.examined_rules)
        return {*self.pairs, *self.rule_blocks, *filter(None, single)}


def encoded_checkpoint(head: PartitionCheckpoint, entries: list[ShardEntry]) -> bytes:
    """Return a checkpoint as it is stored: a Parquet table of the entries; the rest beside it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [pa.field(name, pa.int64(), nullable=False) for name in _COLUMNS]
    fields.append(pa.field("parts", pa.list_(pa.int64()), nullable=False))
    schema = pa.schema(fields, metadata={_HEAD: head.model_dump_json()})
    columns = [pa.array([], field.type) for field in fields]
    if entries:
        _, *values = zip(*entries, strict=True)
        columns = [pa.array(each, field.type) for each, field in zip(values, fields, strict=True)]
    file = BytesIO()
    pq.write_table(pa.table(columns, schema), file, compression="zstd")
    return file.getvalue()


def decoded_checkpoint(data: bytes, partition: int) -> tuple[PartitionCheckpoint, list[ShardEntry]]:
    """Return what `encoded_checkpoint` was given. Raises ValueError for other bytes."""
    import pyarrow as pa

    try:
        table = read_parquet(data)
        head = PartitionCheckpoint.model_validate_json((table.schema.metadata or {})[_HEAD])
        columns = [table[name].to_pylist() for name in _COLUMNS]
        lists = table["parts"].combine_chunks()
        parts = map(tuple, lists.to_pylist()) if len(lists.flatten()) else repeat(())
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ValueError(f"not a checkpoint: {error}") from error
    rows = zip(repeat(partition), *columns, parts, strict=False)
    return head, list(map(ShardEntry._make, rows))
