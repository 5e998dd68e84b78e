"""Caches image embeddings, as float16 in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from kaption.workers.stores.image_cache import TTL_S, ImageCache

if TYPE_CHECKING:
    import numpy as np
    import redis
    from numpy.typing import NDArray


class EmbeddingKey(NamedTuple):
    """Everything that an embedding depends on."""

    sha256: str
    """The stored image's sha256."""
    revision: str
    """The scorer's revision."""
    preprocessing_id: str


class EmbeddingCache(ImageCache):
    """Embeddings by image, model revision and preprocessing, as d little-endian float16.

    float16 halves the memory and changes a cosine by less than 1e-3. Reading normalises each vector
    to unit length again.

    One hash for each image with a field for each revision and preprocessing.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, *, ttl_s: int = TTL_S) -> None:
        super().__init__(client, key_prefix, "emb", ttl_s)

    def get(self, keys: Sequence[EmbeddingKey]) -> list[NDArray[np.float32] | None]:
        """For each key a unit vector of shape (d,), or None if it is not cached. One round trip."""
        values = self.get_bytes(keys)
        return [None if value is None else _unpack(value) for value in values]

    def put(
        self, keys: Sequence[EmbeddingKey], vectors: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """Store `vectors` of shape (n, d) with unit rows. One round trip.

        Returns the vectors as `get` will return them, rounded to float16. Raises ValueError where
        the number of keys is not n.
        """
        if len(keys) != len(vectors):
            raise ValueError(f"{len(keys)} keys for {len(vectors)} vectors")
        kept = [half.tobytes() for half in vectors.astype("<f2")]
        self.put_bytes(keys, kept)
        return [_unpack(value) for value in kept]


def _unpack(value: bytes) -> NDArray[np.float32]:
    import numpy as np

    return unit(np.frombuffer(value, dtype="<f2"))


def unit(halves: NDArray[np.float16]) -> NDArray[np.float32]:
    """The vectors along the last axis at unit length."""
    import numpy as np

    vectors = halves.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    found: NDArray[np.float32] = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return found
