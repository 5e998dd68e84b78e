"""Image embeddings in Redis, as half precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kaption.workers.stores.footprint import Footprint, Forgetful
from kaption.workers.stores.image_cache import ImageCache, Place

if TYPE_CHECKING:
    import numpy as np
    import redis
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EmbeddingKey:
    """What an embedding depends on."""

    sha256: str
    """Of the stored image."""
    revision: str
    preprocessing_id: str


TTL_S = 7 * 24 * 3600
"""As long as the stages' topics are kept: whoever wants the vector can still read its pair."""


class EmbeddingCache(Forgetful):
    """One hash per image, a field per model revision and preprocessing: d little-endian float16.

    Half precision moves a cosine by less than 1e-3 and halves the memory; rows are brought back to
    unit length on reading. `ttl_s` seconds after the last was written all of an image are
    forgotten.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, *, ttl_s: int = TTL_S) -> None:
        self._cache = ImageCache(client, key_prefix, "emb", ttl_s)

    def get(self, keys: Sequence[EmbeddingKey]) -> list[NDArray[np.float32] | None]:
        """Shape (d,) each, or None. One round trip."""
        values = self._cache.get([_place(key) for key in keys])
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
        self._cache.put([_place(key) for key in keys], kept)
        return [_unpack(value) for value in kept]

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool = False) -> int:
        """Remove all embeddings of the stored images."""
        return self._cache.forget(footprints, dry_run=dry_run)

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""
        return self._cache.ready()


def _place(key: EmbeddingKey) -> Place:
    return key.sha256, (key.revision, key.preprocessing_id)


def _unpack(value: bytes) -> NDArray[np.float32]:
    import numpy as np

    vector = np.frombuffer(value, dtype="<f2").astype(np.float32)
    return vector / np.float32(max(np.linalg.norm(vector), np.finfo(np.float32).tiny))
