"""Image embeddings in Redis, as half precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from workers.stores import redis_client
from workers.stores.embeddings import EmbeddingCache, EmbeddingKey

if TYPE_CHECKING:
    import numpy as np
    import redis
    from numpy.typing import NDArray

TTL_S = 7 * 24 * 3600
"""As long as the stages' topics are kept: whoever wants the vector can still read its pair."""


class RedisEmbeddings(EmbeddingCache):
    """One string per picture, model revision and preprocessing: d little-endian float16.

    Half precision moves a cosine by less than 1e-3 and halves the memory; rows are brought back to
    unit length on reading. `ttl_s` seconds after it was written a vector is forgotten.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, *, ttl_s: int = TTL_S) -> None:
        self._client = client
        self._prefix = key_prefix
        self._ttl_s = ttl_s

    def get(self, keys: Sequence[EmbeddingKey]) -> list[NDArray[np.float32] | None]:
        """Shape (d,) each, or None. One round trip."""
        if not keys:
            return []
        with redis_client.translated():
            values = cast("list[bytes | None]", self._client.mget([self._key(key) for key in keys]))
        return [None if value is None else _unpack(value) for value in values]

    def put(
        self, keys: Sequence[EmbeddingKey], vectors: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """`vectors` has shape (n, d), unit rows; returned as they are kept. One round trip."""
        if len(keys) != len(vectors):
            raise ValueError(f"{len(keys)} keys for {len(vectors)} vectors")
        if not keys:
            return []
        kept = [half.tobytes() for half in vectors.astype("<f2")]
        with redis_client.translated(), self._client.pipeline(transaction=False) as pipe:
            for key, value in zip(keys, kept, strict=True):
                pipe.set(self._key(key), value, ex=self._ttl_s)
            pipe.execute()
        return [_unpack(value) for value in kept]

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""
        return redis_client.answers(self._client)

    def _key(self, key: EmbeddingKey) -> bytes:
        return redis_client.cache_key(
            self._prefix, "emb", key.sha256, key.revision, key.preprocessing_id
        )


def _unpack(value: bytes) -> NDArray[np.float32]:
    import numpy as np

    vector = np.frombuffer(value, dtype="<f2").astype(np.float32)
    return vector / np.float32(max(np.linalg.norm(vector), np.finfo(np.float32).tiny))
