"""The few lengths that batches of texts have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from kaption.consumers.draw import draw


@dataclass(frozen=True, slots=True)
class LengthBuckets:
    """Lengths in tokens, ascending; a batch is padded to the first that holds its longest text.

    Few lengths mean few tensor shapes: each new one costs a compilation (torch.compile, static
    caches) or a block of memory that the backend keeps.
    """

    lengths: tuple[int, ...]

    def __post_init__(self) -> None:
        ascending = all(a < b for a, b in zip(self.lengths, self.lengths[1:], strict=False))
        if not self.lengths or self.lengths[0] < 1 or not ascending:
            raise ValueError(f"lengths must be positive and ascending, got {self.lengths}")

    @classmethod
    def up_to(cls, longest: int, step: int = 16) -> Self:
        """Every `step` tokens, and the longest."""
        return cls((*range(step, longest, step), longest))

    def up(self, length: int) -> int:
        """The bucket of a length. Raises ValueError where it is longer than all."""
        for bucket in self.lengths:
            if length <= bucket:
                return bucket
        raise ValueError(f"a text of {length} tokens, the longest bucket is {self.lengths[-1]}")

    def batches(
        self, lengths: Sequence[int], size: int, seed: int, *names: str | int
    ) -> list[list[int]]:
        """Indices into `lengths` in batches of `size`, one of them perhaps smaller; each once.

        Texts of one bucket go together, which texts and in which order the batches come is drawn
        from seed and names. Within a bucket length does not count: its padding is the same, and
        the more texts a batch is drawn from, the less its negatives have in common.
        """
        order = sorted(
            range(len(lengths)),
            key=lambda at: (self.up(lengths[at]), draw(seed, "text", *names, at)),
        )
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        turns = [draw(seed, "batch", *names, number) for number in range(len(batches))]
        return [batch for _, batch in sorted(zip(turns, batches, strict=True))]
