"""A cache of values that were computed from images. All values of an image share one key."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from kaption.workers.stores.client import ping, redis_errors
from kaption.workers.stores.footprint import Footprint, Forgetful

if TYPE_CHECKING:
    import redis

TTL_S = 7 * 24 * 3600
"""Seconds. The topics between the stages are kept as long: a replay within that time runs no model.
"""
Place = tuple[str, ...]
"""A stored image's sha256, and everything else that the value depends on."""


class ImageCache(Forgetful):
    """One hash for each image and kind of value, with the key ``{prefix}{kind}:`` plus 32 bytes of
    sha256.

    The hash's fields are 16 bytes of BLAKE2b over everything else that the value depends on. A
    takedown thus finds and removes all values of an image without knowing the models that made
    them. The hash expires `ttl_s` seconds after its last write.

    Every method raises Retry when Redis is down. Any thread may call them.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, kind: str, ttl_s: int) -> None:
        self._client = client
        self._prefix = f"{key_prefix}{kind}:".encode()
        self._ttl_s = ttl_s

    def get_bytes(self, places: Sequence[Place]) -> list[bytes | None]:
        """For each place the value, or None. One round trip."""
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for sha256, *parts in places:
                pipe.hget(self._key(sha256), _field(parts))
            return cast("list[bytes | None]", pipe.execute())

    def put_bytes(self, places: Sequence[Place], values: Sequence[bytes]) -> None:
        """Store a value at each place. One round trip."""
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for (sha256, *parts), value in zip(places, values, strict=True):
                pipe.hset(self._key(sha256), _field(parts), cast(Any, value))
                pipe.expire(self._key(sha256), self._ttl_s)
            pipe.execute()

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool = False) -> int:
        """Remove all values of the images. Returns how many there were. One round trip."""
        keys = {self._key(each.sha256) for each in footprints if each.sha256 is not None}
        if not keys:
            return 0
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hlen(key)
            if not dry_run:
                pipe.delete(*keys)
            return sum(pipe.execute()[: len(keys)])

    def ready(self) -> str | None:
        """None when Redis answers, else the error."""
        return ping(self._client)

    def _key(self, sha256: str) -> bytes:
        return self._prefix + bytes.fromhex(sha256)


def _field(parts: list[str]) -> Any:
    """Any, because redis-py accepts bytes as a field name and its types do not."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).digest()
