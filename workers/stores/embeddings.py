"""Image embeddings, computed once and shared between stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EmbeddingKey:
    """What an embedding depends on."""

    sha256: str
    """Of the stored picture."""
    revision: str
    preprocessing_id: str


class EmbeddingCache(Protocol):
    """Unit vectors by key; a miss is recomputed. Raises Retry when the store is down."""

    def get(self, keys: Sequence[EmbeddingKey]) -> list[NDArray[np.float32] | None]:
        """Shape (d,) each, or None."""

    def put(
        self, keys: Sequence[EmbeddingKey], vectors: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """`vectors` has shape (n, d), unit rows. Returns what `get` will give for them: whoever
        goes on with these comes to the same scores as whoever meets the picture later."""

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""
