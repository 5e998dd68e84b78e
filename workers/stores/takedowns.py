"""What is taken down, as stages ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from schemas import CleanPair, IngestedPair, RawPair


class TakedownList(Protocol):
    """The takedowns of the dataset.

    Raises Retry when a store that it needs is down, Fatal where a takedown cannot be read.
    """

    def covering(self, pairs: Sequence[RawPair | IngestedPair | CleanPair]) -> list[str | None]:
        """For each pair the id of a takedown that covers it, or None. Any thread."""
