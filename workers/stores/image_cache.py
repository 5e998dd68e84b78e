"""Caches of what was computed from images: all of one image in one place."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from kaption.workers.stores import client as redis_client
from kaption.workers.stores.footprint import Footprint

if TYPE_CHECKING:
    import redis

Place = tuple[str, tuple[str, ...]]
"""A stored image's sha256, and all else that the value depends on."""


class ImageCache:
    """One hash for each image and kind, named after its sha256: ``{prefix}{kind}:`` and 32 bytes.

    A field, 16 bytes of BLAKE2b, is what else its value depends on. So an image's values are found
    and removed without knowing by which models they were made. All of them are forgotten `ttl_s`
    seconds after the last one was written.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, kind: str, ttl_s: int) -> None:
        self._client = client
        self._prefix = f"{key_prefix}{kind}:".encode()
        self._ttl_s = ttl_s

    def get(self, places: Sequence[Place]) -> list[bytes | None]:
        """The stored values, or None. One round trip."""
        if not places:
            return []
        with redis_client.translated(), self._client.pipeline(transaction=False) as pipe:
            for sha256, parts in places:
                pipe.hget(self._key(sha256), _field(parts))
            return cast("list[bytes | None]", pipe.execute())

    def put(self, places: Sequence[Place], values: Sequence[bytes]) -> None:
        """Store values. One round trip."""
        with redis_client.translated(), self._client.pipeline(transaction=False) as pipe:
            for (sha256, parts), value in zip(places, values, strict=True):
                pipe.hset(self._key(sha256), _field(parts), cast(Any, value))
                pipe.expire(self._key(sha256), self._ttl_s)
            pipe.execute()

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool) -> int:
        """Remove all values of the images; returns how many there were. One round trip."""
        keys = {self._key(each.sha256) for each in footprints if each.sha256 is not None}
        if not keys:
            return 0
        with redis_client.translated(), self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hlen(key)
            if not dry_run:
                pipe.delete(*keys)
            return sum(pipe.execute()[: len(keys)])

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""
        return redis_client.answers(self._client)

    def _key(self, sha256: str) -> bytes:
        return self._prefix + bytes.fromhex(sha256)


def _field(parts: tuple[str, ...]) -> Any:
    """redis-py's types know no bytes here, its protocol does."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).digest()
