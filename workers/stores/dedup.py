"""Deduplication claims in Redis: exact images, near-duplicate images and texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from kaption.connections.errors import Fatal, Retry
from kaption.schemas import Position
from kaption.workers.policy import DedupPolicy
from kaption.workers.stores.client import redis_errors
from kaption.workers.stores.footprint import Footprint, Forgetful
from kaption.workers.stores.near import Likeness, NearClaims

if TYPE_CHECKING:
    import redis

BUCKET_BITS = 18
"""The claims are spread over 262,144 Redis hashes. Redis stores a hash of up to 512 short fields as
one compact block (hash-max-listpack-entries), so up to 134 M claims stay compact."""


class Dedup(Forgetful):
    """Claims on content. An owner is the origin of a record, and only a takedown ends its claims.

    Every call is idempotent for the same owners, so claims survive redelivery. Arguments are
    parallel sequences, and results come in the same order. Every method raises Retry when Redis is
    down. Any thread may call them.

    Exact claims and the first user of each text take one hash field each, 60 bytes or less. The
    field's name is 128 bits of the sha256, and 18 further bits choose one of 2^18 buckets. With 146
    bits no collision is expected below 10^21 images. The value is the owner's
    ``topic/partition/offset``. Near claims: see `NearClaims`.

    Every key has the hash tag ``{key_prefix}``, because the scripts touch several keys and a
    cluster runs a script in one slot only. No key expires, so the server must not evict keys
    without a TTL (maxmemory-policy noeviction or volatile-*).
    """

    def __init__(self, client: redis.Redis, key_prefix: str, policy: DedupPolicy) -> None:
        self._client = client
        self._prefix = f"{{{key_prefix}}}"
        self._near = NearClaims(client, f"{self._prefix}near:", policy.near_distance)
        lua = files("kaption.workers.stores")
        self._count_text = client.register_script((lua / "count_text.lua").read_text("utf-8"))
        self._forget = client.register_script((lua / "forget_claim.lua").read_text("utf-8"))

    def holders(self, sha256s: Sequence[str]) -> list[Position | None]:
        """The owner of each sha256, or None. Claims nothing. One round trip."""
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for sha256 in sha256s:
                bucket, field = self._place("exact", bytes.fromhex(sha256))
                pipe.hget(bucket, cast(Any, field))
            answers = cast("list[bytes | None]", pipe.execute())
        return [None if holder is None else Position.parse(holder.decode()) for holder in answers]

    def claim_exact(self, sha256s: Sequence[str], owners: Sequence[Position]) -> list[Position]:
        """Claim each sha256. Returns its owner: the given one, or an earlier one. One round trip.

        Of two equal hashes in one call the first gets the claim.
        """
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for sha256, owner in zip(sha256s, owners, strict=True):
                bucket, field = self._place("exact", bytes.fromhex(sha256))
                # Two plain commands are faster than a script. Whoever set the field first, HGET
                # returns its owner.
                pipe.hsetnx(bucket, cast(Any, field), str(owner))
                pipe.hget(bucket, cast(Any, field))
            answers = pipe.execute()
        return [Position.parse(holder.decode()) for holder in answers[1::2]]

    def claim_near(self, images: Sequence[Likeness], owners: Sequence[Position]) -> list[Position]:
        """Claim each image by what it looks like. Three round trips for every 64 images.

        Returns the given owner, or the owner of an earlier image that is alike. A refused claim
        leaves no entry. Raises ValueError on a hash that is not an unsigned 64-bit number.
        """
        return self._near.claim(images, owners)

    def count_text(self, keys: Sequence[str], owners: Sequence[Position], limit: int) -> list[int]:
        """The rank of each owner among the owners that used its text, at most limit + 1.

        The first owner of a text has rank 1. An owner that asks again gets the same rank. Redis
        remembers the first `limit` owners of a text. One round trip.
        """
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for key, owner in zip(keys, owners, strict=True):
                bucket, field, later = self._text_place(key)
                self._count_text(keys=[bucket, later], args=[field, str(owner), limit], client=pipe)
            return [int(rank) for rank in pipe.execute()]

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool = False) -> int:
        """Remove the owners' claims on their images and texts. Two round trips.

        Later calls of `count_text` count as if these owners had never used the texts.
        """
        dry = int(dry_run)
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for each in footprints:
                owner = each.owner or ""
                if each.original_sha256 is not None:
                    bucket, field = self._place("exact", bytes.fromhex(each.original_sha256))
                    self._forget(keys=[bucket], args=[field, owner, dry], client=pipe)
                if each.clean_text and owner:
                    bucket, field, later = self._text_place(each.clean_text.casefold())
                    self._forget(keys=[bucket], args=[field, owner, dry], client=pipe)
                    self._forget(keys=[later], args=[owner, "", dry], client=pipe)
            found = sum(pipe.execute())
        near = [
            (each.perceptual_hash, each.owner)
            for each in footprints
            if each.perceptual_hash is not None and each.owner is not None
        ]
        return int(found) + self._near.forget(near, dry_run=dry_run)

    def ready(self) -> str | None:
        """None when Redis answers and does not evict claims, else the error."""
        try:
            with redis_errors():
                memory = self._client.info("memory")
        except (Retry, Fatal) as error:
            return str(error)
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if policy.startswith("allkeys"):
            return f"Redis may evict claims: set maxmemory-policy to noeviction, not {policy}"
        return None

    def _text_place(self, key: str) -> tuple[str, bytes, bytes]:
        """The bucket and the field of a text's first owner, and the key of its later owners."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        bucket, field = self._place("text", digest)
        return bucket, field, f"{self._prefix}text-more:".encode() + field

    def _place(self, kind: str, digest: bytes) -> tuple[str, bytes]:
        bucket = int.from_bytes(digest[16:20], "big") >> (32 - BUCKET_BITS)
        return f"{self._prefix}{kind}:{bucket:x}", digest[:16]
