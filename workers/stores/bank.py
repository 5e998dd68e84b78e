"""The bank: embeddings of a sample of accepted images, in Redis. Captions are compared with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from kaption.workers.stores.client import redis_errors
from kaption.workers.stores.embeddings import unit
from kaption.workers.stores.footprint import Footprint, Forgetful
from kaption.workers.stores.image_cache import TTL_S

if TYPE_CHECKING:
    import numpy as np
    import redis
    from numpy.typing import NDArray

_SHA256_BYTES = 32


class Embedded(NamedTuple):
    """Images by their sha256, with their embeddings as unit rows of shape (n, d)."""

    sha256s: Sequence[str]
    rows: NDArray[np.float32]


class Bank(Forgetful):
    """For each scorer revision and preprocessing the `size` images with the lowest sha256.

    A sha256 is random, so this is a fair sample of the stream. It does not depend on the order of
    the images: replicas agree, and a redelivery changes nothing. Other samples of a stream need a
    random draw for each image.

    One sorted set for each bank, whose members are 32 bytes of sha256 and d little-endian float16.
    All have the score 0, so Redis keeps them in the order of their bytes. A bank has at most
    `size` * (2 d + about 130) bytes and expires `TTL_S` seconds after its last image.

    Every method raises Retry when Redis is down.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, size: int) -> None:
        self._client = client
        self._prefix = f"{key_prefix}bank:".encode()
        self._names = f"{key_prefix}banks"
        self.size = size

    def put(self, revision: str, preprocessing_id: str, images: Embedded) -> None:
        """Add images; those with the highest sha256 leave a bank that is full. One round trip."""
        import numpy as np

        halves = images.rows.astype("<f2")
        members = {
            bytes.fromhex(sha256) + half.tobytes(): 0
            for sha256, half in zip(images.sha256s, halves, strict=True)
            # The bank outlives a broken scorer.
            if np.isfinite(half).all()
        }
        if not members:
            return
        key = self._key(revision, preprocessing_id)
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            pipe.sadd(self._names, key)  # first: a takedown finds the banks by it
            pipe.zadd(key, cast(Any, members))
            pipe.zremrangebyrank(key, self.size, -1)
            pipe.expire(key, TTL_S)
            pipe.execute()

    def get(self, revision: str, preprocessing_id: str) -> Embedded:
        """All images of a bank, by sha256. One round trip."""
        import numpy as np

        with redis_errors():
            found = cast(
                "list[bytes]", self._client.zrange(self._key(revision, preprocessing_id), 0, -1)
            )
        # Devices round differently, so one image may be there twice.
        members = {member[:_SHA256_BYTES].hex(): member[_SHA256_BYTES:] for member in found}
        halves = np.frombuffer(b"".join(members.values()), "<f2")
        return Embedded(list(members), unit(halves.reshape(len(members), -1 if members else 0)))

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool = False) -> int:
        """Remove the images from all banks. Returns in how many places they were."""
        known = {bytes.fromhex(each.sha256) for each in footprints if each.sha256 is not None}
        if not known:
            return 0
        with redis_errors():
            keys = cast("set[bytes]", self._client.smembers(self._names))
            with self._client.pipeline(transaction=False) as pipe:
                for key in keys:
                    for sha256 in known:
                        # The end of the range is above every member of this image: in a member two
                        # bytes 255 would be a NaN.
                        ends: Any = b"[" + sha256, b"(" + sha256 + b"\xff\xff"
                        (pipe.zlexcount if dry_run else pipe.zremrangebylex)(key, *ends)
                return sum(pipe.execute())

    def _key(self, revision: str, preprocessing_id: str) -> bytes:
        text = f"{revision}\0{preprocessing_id}".encode()
        return self._prefix + hashlib.blake2b(text, digest_size=16).digest()
