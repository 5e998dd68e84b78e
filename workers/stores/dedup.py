"""Deduplication claims in Redis."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from kaption.connections.errors import Fatal, Retry
from kaption.schemas import Position
from kaption.workers.policy import DedupPolicy
from kaption.workers.stores import client as redis_client
from kaption.workers.stores.footprint import Footprint, Forgetful
from kaption.workers.stores.near import NearClaims

if TYPE_CHECKING:
    import redis

BUCKET_BITS = 18
"""262,144 hashes share the claims; Redis keeps a hash of up to 512 short fields as one compact
block (hash-max-listpack-entries), so claims stay small up to 134 M of them."""


class Dedup(Forgetful):
    """Claims that only a takedown ends, held by origins.

    Exact claims and the first user of each text: one hash field of 128 bits of the sha256 in one
    of 2^18 buckets chosen by 18 further bits (146 in all: no collision is to be expected below
    10^21 images) with the owner's ``topic/partition/offset`` as value; 60 bytes or less each.
    Near claims: see `NearClaims`.

    Every key carries the hash tag ``{key_prefix}``: one hash slot, because scripts touch several
    keys; a cluster does not spread them. Nothing expires, so the server must not evict keys without
    a TTL (maxmemory-policy noeviction or volatile-*).
    """

    def __init__(self, client: redis.Redis, key_prefix: str, policy: DedupPolicy) -> None:
        self._client = client
        self._prefix = f"{{{key_prefix}}}"
        self._near = NearClaims(client, f"{self._prefix}near:", policy.near_distance)
        lua = files("kaption.workers.stores")
        self._count_text = client.register_script((lua / "count_text.lua").read_text("utf-8"))
        self._forget = client.register_script((lua / "forget_claim.lua").read_text("utf-8"))

    def holders(self, sha256s: Sequence[str]) -> list[Position | None]:
        """The holder of each content hash, or None. One round trip."""
        if not sha256s:
            return []
        with redis_client.translated(), self._client.pipeline(transaction=False) as pipe:
            for sha256 in sha256s:
                bucket, field = self._place("exact", bytes.fromhex(sha256))
                pipe.hget(bucket, cast(Any, field))
            answers = cast("list[bytes | None]", pipe.execute())
        return [None if holder is None else Position.parse(holder.decode()) for holder in answers]

    def claim_exact(self, sha256s: Sequence[str], owners: Sequence[Position]) -> list[Position]:
        """The holder of each content hash. One round trip."""
        if not sha256s and not owners:
            return []
        with redis_client.translated(), self._client.pipeline(transaction=False) as pipe:
            for sha256, owner in zip(sha256s, owners, strict=True):
                bucket, field = self._place("exact", bytes.fromhex(sha256))
                # Two plain commands beat a script: whoever came first, HGET tells the holder.
                pipe.hsetnx(bucket, cast(Any, field), str(owner))
                pipe.hget(bucket, cast(Any, field))
            answers = pipe.execute()
        return [Position.parse(holder.decode()) for holder in answers[1::2]]

    def claim_near(self, hashes: Sequence[int], owners: Sequence[Position]) -> list[Position]:
        """The holder of each perceptual hash. Two round trips for each 64."""
        return self._near.claim(hashes, owners)

    def count_text(self, keys: Sequence[str], owners: Sequence[Position], limit: int) -> list[int]:
        """The rank of each owner among the users of its text, at most limit + 1. One round trip.

        An owner that asks again gets its rank again. `limit` owners are remembered for a text.
        """
        if not keys and not owners:
            return []
        with redis_client.translated(), self._client.pipeline(transaction=False) as pipe:
            for key, owner in zip(keys, owners, strict=True):
                bucket, field, later = self._text_place(key)
                self._count_text(keys=[bucket, later], args=[field, str(owner), limit], client=pipe)
            return [int(rank) for rank in pipe.execute()]

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool = False) -> int:
        """Remove the owners' claims on their images and texts. Two round trips.

        A text is then counted as if those owners had never used it.
        """
        dry = int(dry_run)
        with redis_client.translated(), self._client.pipeline(transaction=False) as pipe:
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
        """None when the store answers and will not drop claims, else what is wrong."""
        try:
            with redis_client.translated():
                memory = self._client.info("memory")
        except (Retry, Fatal) as error:
            return str(error)
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if policy.startswith("allkeys"):
            return f"Redis evicts claims: set maxmemory-policy to noeviction, not {policy}"
        return None

    def _text_place(self, key: str) -> tuple[str, bytes, bytes]:
        """The bucket and field of a text's first owner, and the key of the later ones."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        bucket, field = self._place("text", digest)
        return bucket, field, f"{self._prefix}text-more:".encode() + field

    def _place(self, kind: str, digest: bytes) -> tuple[str, bytes]:
        bucket = int.from_bytes(digest[16:20], "big") >> (32 - BUCKET_BITS)
        return f"{self._prefix}{kind}:{bucket:x}", digest[:16]
