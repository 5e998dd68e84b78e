"""Claims the images and texts of a batch, and rejects the images that others hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kaption.schemas import ImageRef, Position, Reason
from kaption.workers.policy import DedupPolicy
from kaption.workers.runtime.stage import Reject
from kaption.workers.stores.answers import SketchedImage
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.footprint import HASH
from kaption.workers.stores.near import Likeness


class DuplicateClaims:
    """Deduplicates a batch. Every call gives the same answer again for the same origins.

    Every method raises Retry when Redis is down.
    """

    def __init__(self, dedup: Dedup, policy: DedupPolicy) -> None:
        self._dedup = dedup
        self._limit = policy.text_uses

    def held(self, images: Sequence[ImageRef], origins: Sequence[Position]) -> dict[int, Reject]:
        """Rejections of images whose bytes another origin holds, by index. Claims nothing."""
        holders = self._dedup.holders([image.original_sha256 for image in images])
        return {
            at: Reject(Reason.DUPLICATE, f"of {holder}")
            for at, holder in enumerate(holders)
            if holder not in (None, origins[at])
        }

    def duplicates(
        self, images: Mapping[int, SketchedImage], origins: Sequence[Position]
    ) -> dict[int, Reject]:
        """Claim images by their index in the batch. Returns the rejections of duplicates by index.

        An exact claim is on the bytes as delivered, because those do not change with our decoder.
        A claim by looks follows only for an image that got its exact claim and has a sketch.
        """
        places = list(images)
        owners = self._dedup.claim_exact(
            [images[at].original_sha256 for at in places], [origins[at] for at in places]
        )
        rejected = _refused(places, owners, origins, Reason.DUPLICATE)
        sketched = [
            (at, likeness)
            for at in places
            if at not in rejected and (likeness := _likeness(images[at])) is not None
        ]
        places = [at for at, _ in sketched]
        owners = self._dedup.claim_near(
            [likeness for _, likeness in sketched], [origins[at] for at in places]
        )
        return rejected | _refused(places, owners, origins, Reason.NEAR_DUPLICATE)

    def text_uses(self, texts: Sequence[str], origins: Sequence[Position]) -> list[int | None]:
        """For each text its number of uses so far, this one included.

        None for an empty text, and for every text if the policy sets no limit.
        """
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
        """None when Redis answers, else the error."""
        return self._dedup.ready()


def _refused(
    places: Sequence[int], owners: Sequence[Position], origins: Sequence[Position], reason: Reason
) -> dict[int, Reject]:
    return {
        at: Reject(reason, f"of {owner}")
        for at, owner in zip(places, owners, strict=True)
        if owner != origins[at]
    }


def _likeness(image: SketchedImage) -> Likeness | None:
    if image.sketch is None or image.perceptual_hash is None:
        return None
    return Likeness(int(image.perceptual_hash.removeprefix(HASH), 16), image.sketch)
