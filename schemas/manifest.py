"""The manifest: a shard exists for readers once its manifest exists."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from kaption.schemas.limits import LIST_ITEMS, Name, Sha256
from kaption.schemas.record import Record, Versioned

ObjectFormat = Literal["webdataset", "parquet", "counts"]
"""``counts`` is a `Counts` as JSON. Shards of older versions have none."""


class ShardObject(Record):
    """One data object of a shard: a tar file, a Parquet file or the counters of its pairs."""

    key: Annotated[str, Field(min_length=1, max_length=1024)]
    """The object's key, relative to the dataset's root."""
    format: ObjectFormat
    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class Manifest(Versioned):
    """The pairs at offsets [start, end) of one partition of pairs.clean, and the objects with them.

    The sink writes ``manifest/{partition}/{start}.json`` with generation 0. These manifests form a
    chain: the first starts at offset 0, and each next one starts where the one before ends.
    Compaction writes ``merged/{partition}/{generation}.json``, which replaces several manifests.

    A reader lists all manifests and then **ignores every manifest that shares an offset with a
    manifest of a higher generation**. The remaining manifests form a chain at every moment.
    """

    topic: Name
    topic_id: Name | None = None
    """The topic's id in Kafka, without which an offset means nothing: a topic that was deleted and
    created again has the same offsets. None where it is not known."""
    partition: Annotated[int, Field(ge=0)]
    start: Annotated[int, Field(ge=0)]
    """First offset."""
    end: Annotated[int, Field(ge=1)]
    """First offset after the shard."""
    pairs: Annotated[int, Field(ge=0)]
    """Number of pairs in the shard. It may be less than `end - start`: transaction markers take
    offsets, and compaction drops replaced versions and pairs that were taken down."""
    writer: Name
    """Unique to one process. After a retried PUT it tells the process whether it wrote the manifest
    itself."""
    created_at: AwareDatetime
    objects: Annotated[tuple[ShardObject, ...], Field(max_length=LIST_ITEMS)]
    generation: Annotated[int, Field(ge=0)] = 0
    """0 for a manifest of the sink. Compaction takes a number above every generation that the
    partition has at that time."""
    parts: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Of a merged manifest: the `start` of each sink manifest that it replaces, ascending. Empty
    for a manifest of the sink."""


def holds(entry: ShardObject, data: bytes) -> bool:
    """Whether `data` has the object's size and sha256."""
    return len(data) == entry.bytes and hashlib.sha256(data).hexdigest() == entry.sha256


def entry_of(manifest: Manifest, kind: ObjectFormat) -> ShardObject:
    """The manifest's object of that format. Raises StopIteration where there is none."""
    return next(entry for entry in manifest.objects if entry.format == kind)
