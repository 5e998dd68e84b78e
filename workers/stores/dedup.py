"""What ingest asks of deduplication. Claims are held by origins and survive redelivery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from schemas import Position


class Dedup(Protocol):
    """Claims on content. Every call is idempotent for the same owner and raises Retry when the
    store is down. Sequences are parallel; results come in their order.
    """

    def holders(self, sha256s: Sequence[str]) -> list[Position | None]:
        """Who holds each content hash, or None. Claims nothing."""

    def claim_exact(self, sha256s: Sequence[str], owners: Sequence[Position]) -> list[Position]:
        """Claim each content hash; returns who holds it: the owner itself, or the earlier one.

        Two items of one call with the same hash: the first gets it.
        """

    def claim_near(self, hashes: Sequence[int], owners: Sequence[Position]) -> list[Position]:
        """Claim each 64-bit perceptual hash; returns the owner itself, or the owner of an earlier
        kept one within the configured Hamming distance. A refused claim leaves no entry behind.
        """

    def count_text(self, keys: Sequence[str], owners: Sequence[Position], limit: int) -> list[int]:
        """How many different owners used each text, this one included, counted to limit + 1."""

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""
