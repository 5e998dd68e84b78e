"""What a pair leaves behind in Redis and in the blob store, so that it can be removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from pydantic import Field

from kaption.schemas import CleanPair, IngestedPair
from kaption.schemas.limits import Name, Sha256, Text
from kaption.schemas.record import Record


class Footprint(Record):
    """One pair, or only an image of which no pair is known."""

    owner: Name | None = None
    """The origin that holds the pair's claims. None: only the image is known, and its exact claim
    is removed whoever holds it."""
    sha256: Sha256 | None = None
    """Of the stored image; None where there is none, or it is another pair's too."""
    original_sha256: Sha256 | None = None
    perceptual_hash: Annotated[int, Field(ge=0, lt=1 << 64)] | None = None
    clean_text: Text = ""

    @classmethod
    def of(cls, pair: IngestedPair | CleanPair) -> Footprint:
        """Of a pair that ingest let through."""
        hashed = pair.image.perceptual_hash
        return cls(
            owner=pair.dedup.owner,
            sha256=pair.image.blob.sha256,
            original_sha256=pair.image.original_sha256,
            perceptual_hash=None if hashed is None else int(hashed.partition(":")[2], 16),
            clean_text=pair.clean_text,
        )


class Forgetful(Protocol):
    """A store from which footprints can be removed. Raises Retry when it is down."""

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool = False) -> int:
        """Remove what they left, as often as asked; returns how many entries there were.

        What another owner has claimed since stays. `dry_run` only counts.
        """
