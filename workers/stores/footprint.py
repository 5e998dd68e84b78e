"""Footprints: what a pair left in Redis and in the blob store, so that a takedown can remove it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import Field

from kaption.schemas import CleanPair, IngestedPair, Position, Reason, RejectedPair
from kaption.schemas.limits import Name, Sha256, Text
from kaption.schemas.record import Record

if TYPE_CHECKING:
    from kaption.workers.runtime.stage import Reject

HASH = "simhash2:"
"""Prefix of the perceptual hashes that near claims are made with. Older records have
``simhash:`` or ``dhash:``."""


class Footprint(Record):
    """The keys under which one pair has left entries, or only one image without a known pair."""

    owner: Name | None = None
    """The origin that holds the pair's claims. None: only the image is known, and its exact claim
    is removed whoever holds it."""
    sha256: Sha256 | None = None
    """The stored image's sha256. None: no image is stored, or another pair needs it too."""
    original_sha256: Sha256 | None = None
    """The sha256 of the image as delivered."""
    perceptual_hash: Annotated[int, Field(ge=0, lt=1 << 64)] | None = None
    """The 64-bit hash. None also for a record whose hash is not a `HASH`: it has no near claim."""
    clean_text: Text = ""
    copy_of: Name | None = None
    """For a pair that ingest rejected as a copy, the origin that holds the image's claim. The
    pair's text may be remembered with that image."""
    pair_id: Name | None = None
    """The pair_id of the pair or of such a copy."""

    @classmethod
    def of(cls, pair: IngestedPair | CleanPair) -> Footprint:
        """The footprint of a pair that ingest let through."""
        hashed = pair.image.perceptual_hash or ""
        return cls(
            owner=pair.dedup.owner,
            sha256=pair.image.blob.sha256,
            original_sha256=pair.image.original_sha256,
            perceptual_hash=int(hashed.removeprefix(HASH), 16) if hashed.startswith(HASH) else None,
            clean_text=pair.clean_text,
            pair_id=pair.pair_id,
        )


class Forgetful(Protocol):
    """A store that can remove the entries of footprints."""

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool = False) -> int:
        """Remove the footprints' entries. Returns how many entries there were.

        An entry that another owner has claimed since stays. `dry_run` only counts. The call may be
        repeated. Raises Retry when Redis is down.
        """


def holder_of(rejected: Reject | RejectedPair) -> str | None:
    """The origin that holds the image's claim, if ingest rejected the pair as a copy."""
    if rejected.reason not in (Reason.DUPLICATE, Reason.NEAR_DUPLICATE):
        return None
    try:
        return str(Position.parse(rejected.detail.removeprefix("of ")))
    except ValueError:
        return None
