"""What a batch of pictures and texts may claim, and what others hold already."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import Position, Reason
from workers.policy import DedupPolicy
from workers.runtime.stage import Reject
from workers.stores.dedup import Dedup


class Claims:
    """Deduplication of a batch; every call gives the same answer again for the same origins."""

    def __init__(self, dedup: Dedup, policy: DedupPolicy) -> None:
        self._dedup = dedup
        self._limit = policy.text_uses

    def duplicates(
        self, sha256s: Sequence[str], dhashes: Sequence[int | None], origins: Sequence[Position]
    ) -> dict[int, Reject]:
        """Position in the batch to rejection, for what others hold.

        `sha256s` are of the bytes as delivered, which no change of ours to decoding can move.
        Perceptual claims are made only by those who hold their exact one, and have a hash.
        """
        rejected: dict[int, Reject] = {}
        for at, owner in enumerate(self._dedup.claim_exact(sha256s, origins)):
            if owner != origins[at]:
                rejected[at] = Reject(Reason.DUPLICATE, f"of {owner}")
        hashed = [
            (at, number)
            for at, number in enumerate(dhashes)
            if number is not None and at not in rejected
        ]
        owners = self._dedup.claim_near(
            [number for _, number in hashed], [origins[at] for at, _ in hashed]
        )
        for (at, _), owner in zip(hashed, owners, strict=True):
            if owner != origins[at]:
                rejected[at] = Reject(Reason.NEAR_DUPLICATE, f"of {owner}")
        return rejected

    def text_uses(self, texts: Sequence[str], origins: Sequence[Position]) -> list[int | None]:
        """Which use of its text each pair is; none for empty texts or without a limit."""
        uses: list[int | None] = [None] * len(texts)
        texted = [at for at, text in enumerate(texts) if text]
        if self._limit and texted:
            counts = self._dedup.count_text(
                [texts[at].casefold() for at in texted], [origins[at] for at in texted], self._limit
            )
            for at, count in zip(texted, counts, strict=True):
                uses[at] = count
        return uses

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""
        return self._dedup.ready()
