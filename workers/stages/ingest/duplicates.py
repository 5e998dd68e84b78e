"""Claims the images and texts of a batch, and rejects the images that others hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from kaption.objectstore.blobs import BlobStore, CorruptBlobError
from kaption.schemas import BlobRef, ImageRef, Position, Reason
from kaption.workers.decode.comparison import Pixels, pixels_of, same
from kaption.workers.decode.likeness import PACKED_BYTES
from kaption.workers.policy.ingest import DedupPolicy
from kaption.workers.runtime.stage import Reject
from kaption.workers.stores.answers import SketchedImage
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.footprint import HASH
from kaption.workers.stores.near import Likeness

_SMALL_IMAGES = 256
"""Small copies of stored images that are kept in memory: 13 MB."""


class DuplicateClaims:
    """Deduplicates a batch. Every call gives the same answer again for the same origins.

    Images that may be near-duplicates are read from the blob store and compared. Every method
    raises Retry when Redis or the blob store is down.
    """

    def __init__(self, dedup: Dedup, blobs: BlobStore, policy: DedupPolicy) -> None:
        self._dedup = dedup
        self._blobs = blobs
        self._limit = policy.text_uses
        self._new: Mapping[str, bytes] = {}
        self._small = lru_cache(_SMALL_IMAGES)(self._read)

    def held(self, images: Sequence[ImageRef], origins: Sequence[Position]) -> dict[int, Reject]:
        """Rejections of images whose bytes another origin holds, by index. Claims nothing."""
        holders = self._dedup.holders([image.original_sha256 for image in images])
        return {
            at: Reject(Reason.DUPLICATE, f"of {holder}")
            for at, holder in enumerate(holders)
            if holder is not None and not holder.may_be(origins[at])
        }

    def duplicates(
        self,
        images: Mapping[int, SketchedImage],
        origins: Sequence[Position],
        jpegs: Mapping[str, bytes],
    ) -> dict[int, Reject]:
        """Claim stored images by their index in the batch. Returns the rejections by index.

        `jpegs` has images of this batch by their sha256, so that only others are read.
        An exact claim is on the bytes as delivered, because those do not change with our decoder.
        A claim by looks follows only for an image that got its exact claim and has a sketch.
        """
        places = list(images)
        owners = self._dedup.claim_exact(
            [images[at].original_sha256 for at in places], [origins[at] for at in places]
        )
        rejected = _refused(places, owners, origins, Reason.DUPLICATE)
        self._new = jpegs
        sketched = [
            (at, likeness)
            for at in places
            if at not in rejected and (likeness := _likeness(images[at])) is not None
        ]
        places = [at for at, _ in sketched]
        owners = self._dedup.claim_near(
            [likeness for _, likeness in sketched], [origins[at] for at in places], self._same
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

    def common(self, texts: Sequence[str]) -> list[bool]:
        """For each text whether as many images have it as the policy allows. Counts nothing."""
        if not self._limit:
            return [False] * len(texts)
        return [n >= self._limit for n in self._dedup.text_users([t.casefold() for t in texts])]

    def _same(self, one: str, other: str) -> bool | None:
        """Whether two stored images are one. None if one of them is gone or damaged."""
        mine, theirs = self._small(one), self._small(other)
        return None if mine is None or theirs is None else same(mine, theirs)

    def _read(self, sha256: str) -> Pixels | None:
        try:
            jpeg = self._new.get(sha256) or self._blobs.get(BlobRef(sha256=sha256, bytes=0))
        except (KeyError, CorruptBlobError):
            return None
        return pixels_of(jpeg)


def _refused(
    places: Sequence[int], owners: Sequence[Position], origins: Sequence[Position], reason: Reason
) -> dict[int, Reject]:
    return {
        at: Reject(reason, f"of {owner}")
        for at, owner in zip(places, owners, strict=True)
        if not owner.may_be(origins[at])
    }


def _likeness(image: SketchedImage) -> Likeness | None:
    sketch, number = image.sketch or b"", image.perceptual_hash or ""
    if not number.startswith(HASH) or len(sketch) != PACKED_BYTES:
        return None  # no sketch, or one that an older version remembered
    return Likeness(int(number.removeprefix(HASH), 16), sketch, image.blob.sha256)
