"""The manifest: the commit point of a shard, and all that a reader of shards lists."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from kaption.schemas.limits import LIST_ITEMS, Name, Sha256
from kaption.schemas.record import Record, Versioned


class ShardObject(Record):
    """One data object of a shard."""

    key: Annotated[str, Field(min_length=1, max_length=1024)]
    """Below the dataset's root."""
    format: Literal["webdataset", "parquet"]
    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class Manifest(Versioned):
    """Offsets [start, end) of one partition of pairs.clean, and the objects that hold their pairs.

    The sink's, ``manifest/{partition}/{start}.json``, form a chain: the first begins at 0, each
    other where the one before ends. Those of compaction, ``merged/{partition}/{generation}.json``,
    stand in the place of several: **one that shares an offset with a higher generation does not
    count** (the sink's are generation 0). What counts is a chain again, at every moment.

    `pairs` counts distinct samples, which may be fewer than offsets: transaction markers take
    offsets too, and compaction drops replaced versions and what is taken down.
    """

    topic: Name
    partition: Annotated[int, Field(ge=0)]
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=1)]
    pairs: Annotated[int, Field(ge=0)]
    writer: Name
    """Unique to one process; tells a retried PUT of one's own from another's."""
    created_at: AwareDatetime
    objects: Annotated[tuple[ShardObject, ...], Field(max_length=LIST_ITEMS)]
    generation: Annotated[int, Field(ge=0)] = 0
    """Above that of every manifest of the partition when it was written; 0: the sink wrote it."""
    parts: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Where the sink's shards began whose place it takes, ascending; none: it is such a shard."""


def holds(entry: ShardObject, data: bytes) -> bool:
    """Whether these are the object's bytes, by size and sha256."""
    return len(data) == entry.bytes and hashlib.sha256(data).hexdigest() == entry.sha256


def entry_of(manifest: Manifest, kind: Literal["webdataset", "parquet"]) -> ShardObject:
    """The manifest's object of that format."""
    return next(entry for entry in manifest.objects if entry.format == kind)
