"""The manifest: the commit point of a shard, and all that a reader of shards lists."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from schemas.limits import LIST_ITEMS, Name, Sha256
from schemas.record import Record, Versioned


class ShardObject(Record):
    """One data object of a shard."""

    key: Annotated[str, Field(min_length=1, max_length=1024)]
    """Below the dataset's root."""
    format: Literal["webdataset", "parquet"]
    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class Manifest(Versioned):
    """``manifest/{partition}/{start}.json``: offsets [start, end) of one partition of pairs.clean.

    Each manifest's `end` is the next one's `start`; the chain is the truth about what is written.
    `pairs` counts distinct samples, which may be fewer than offsets: transaction markers take
    offsets too.
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


def manifest_key(partition: int, start: int) -> str:
    """Zero-padded, so that keys list in offset order."""
    return f"manifest/{partition:05d}/{start:020d}.json"
