"""Deduplication claims in Redis: exact images, near-duplicate images and texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from kaption.connections.errors import Fatal, Retry
from kaption.connections.settings import RedisConnection
from kaption.schemas import Position
from kaption.workers.policy.ingest import DedupPolicy
from kaption.workers.stores.client import connect_all, redis_errors
from kaption.workers.stores.exact import ExactClaims
from kaption.workers.stores.footprint import Footprint, Forgetful
from kaption.workers.stores.near import Likeness, NearClaims, Same, unseen
from kaption.workers.stores.owners import Owners
from kaption.workers.stores.spread import SpreadClaims

if TYPE_CHECKING:
    import redis

BUCKET_BITS = 18
"""The texts are spread over 262,144 Redis hashes. Redis stores a hash of up to 512 short fields as
one compact block (hash-max-listpack-entries), so up to 134 M texts stay compact."""


class Dedup(Forgetful):
    """Claims on content. An owner is the origin of a record, and only a takedown ends its claims.

    Every call is idempotent for the same owners, so claims survive redelivery. Arguments are
    parallel sequences, and results come in the same order. Every method raises Retry when Redis is
    down. Any thread may call them.

    The first user of each text takes one hash field, 85 bytes or less. The field's name is 128 bits
    of the text's sha256, and 18 further bits choose one of 2^18 buckets. The value is the owner's
    ``topic/partition/offset/topic-id``; owners of older versions have no id, see `Position.may_be`.
    For images see `ExactClaims` and `NearClaims`.

    Every key has the hash tag ``{key_prefix}``, because the scripts touch several keys and a
    cluster runs a script in one slot only. No key expires, so the server must not evict keys
    without a TTL (maxmemory-policy noeviction or volatile-*).
    """

    def __init__(
        self,
        client: redis.Redis,
        key_prefix: str,
        policy: DedupPolicy,
        further: Sequence[redis.Redis] = (),
    ) -> None:
        """`further` are the other servers over which exact claims are spread."""
        self._client = client
        self._servers = [client, *further]
        self._prefix = f"{{{key_prefix}}}"
        self._exact = SpreadClaims(
            [
                ExactClaims(
                    server,
                    f"{self._prefix}exact:",
                    Owners(server, f"{self._prefix}topics"),
                    place,
                    len(self._servers),
                )
                for place, server in enumerate(self._servers)
            ]
        )
        self._near = NearClaims(client, f"{self._prefix}near3:", policy.near_distance)
        lua = files("kaption.workers.stores")
        self._count_text = client.register_script((lua / "count_text.lua").read_text("utf-8"))
        self._forget = client.register_script((lua / "forget_claim.lua").read_text("utf-8"))

    @classmethod
    def connected(cls, connection: RedisConnection, policy: DedupPolicy) -> Dedup:
        """The claims on the servers of the settings. It connects at its first call."""
        client, *further = connect_all(connection)
        return cls(client, connection.key_prefix, policy, further)

    def holders(self, sha256s: Sequence[str]) -> list[Position | None]:
        """The owner of each sha256, or None. Claims nothing. One round trip for every 1,000."""
        return self._exact.holders(sha256s)

    def claim_exact(self, sha256s: Sequence[str], owners: Sequence[Position]) -> list[Position]:
        """Claim each sha256. Returns its owner: the given one, or an earlier one.

        One round trip for every 1,000. Of two equal hashes in one call the first gets the claim.
        """
        return self._exact.claim(sha256s, owners)

    def claim_near(
        self, images: Sequence[Likeness], owners: Sequence[Position], same: Same = unseen
    ) -> list[Position]:
        """Claim each image by what it looks like. Three round trips for every 64 images.

        Returns the given owner, or the owner of an earlier image that is alike: `same` compares the
        images where hash and sketch leave it open. A refused claim leaves no entry. Raises
        ValueError on a hash that is not an unsigned 64-bit number.
        """
        return self._near.claim(images, owners, same)

    def count_text(self, keys: Sequence[str], owners: Sequence[Position], limit: int) -> list[int]:
        """The rank of each owner among the owners that used its text, at most limit + 1.

        The first owner of a text has rank 1. An owner that asks again gets the same rank. Redis
        remembers the first `limit` owners of a text. One round trip.
        """
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for key, owner in zip(keys, owners, strict=True):
                bucket, field, later = self._text_place(key)
                older = str(replace(owner, topic_id=None))
                self._count_text(
                    keys=[bucket, later], args=[field, str(owner), limit, older], client=pipe
                )
            return [int(rank) for rank in pipe.execute()]

    def restore_texts(self, uses: Sequence[tuple[str, Position, int]]) -> None:
        """Remember uses of texts with the ranks that `count_text` gave. One round trip."""
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for key, owner, rank in uses:
                bucket, field, later = self._text_place(key)
                if rank == 1:
                    pipe.hsetnx(bucket, cast(Any, field), str(owner))
                else:
                    pipe.hsetnx(cast(Any, later), str(owner), str(rank))
            pipe.execute()

    def text_users(self, keys: Sequence[str]) -> list[int]:
        """For each text how many owners used it, as far as Redis remembers them. One round trip."""
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                bucket, field, later = self._text_place(key)
                pipe.hexists(bucket, cast(Any, field))
                pipe.hlen(cast(Any, later))
            answers = pipe.execute()
        return [int(one) + int(more) for one, more in zip(answers[::2], answers[1::2], strict=True)]

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool = False) -> int:
        """Remove the owners' claims on their images and texts. A few round trips.

        Later calls of `count_text` count as if these owners had never used the texts.
        """
        dry = int(dry_run)
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for each in footprints:
                owner = each.owner or ""
                if each.clean_text and owner:
                    bucket, field, later = self._text_place(each.clean_text.casefold())
                    self._forget(keys=[bucket], args=[field, owner, dry], client=pipe)
                    self._forget(keys=[later], args=[owner, "", dry], client=pipe)
            found = sum(pipe.execute())
        exact = [
            (each.original_sha256, owner)
            for each in footprints
            for owner in _owners(each)
            if each.original_sha256 is not None
        ]
        near = [
            (each.perceptual_hash, each.owner)
            for each in footprints
            if each.perceptual_hash is not None and each.owner is not None
        ]
        found += self._exact.forget(exact, dry_run=dry_run)
        return int(found) + self._near.forget(near, dry_run=dry_run)

    def ready(self) -> str | None:
        """None when every server answers and does not evict claims, else the error."""
        for server in self._servers:
            try:
                with redis_errors():
                    memory = server.info("memory")
            except (Retry, Fatal) as error:
                return str(error)
            policy = str(memory.get("maxmemory_policy", "noeviction"))
            if policy.startswith("allkeys"):
                return f"Redis may evict claims: set maxmemory-policy to noeviction, not {policy}"
        return None

    def _text_place(self, key: str) -> tuple[str, bytes, bytes]:
        """The bucket and the field of a text's first owner, and the key of its later owners."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        bucket, field = int.from_bytes(digest[16:20], "big") >> (32 - BUCKET_BITS), digest[:16]
        return f"{self._prefix}text:{bucket:x}", field, f"{self._prefix}text-more:".encode() + field


def _owners(footprint: Footprint) -> list[Position | None]:
    """The owner, or None for any owner. No owner if it is not a position: it holds no claim."""
    try:
        return [None if footprint.owner is None else Position.parse(footprint.owner)]
    except ValueError:
        return []
