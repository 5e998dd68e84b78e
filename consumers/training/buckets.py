"""The few lengths to which batches of texts are padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from kaption.consumers.stream import draw


@dataclass(frozen=True, slots=True)
class LengthBuckets:
    """Lengths in tokens, ascending. A batch is padded to the first that its longest text fits.

    Few lengths mean few tensor shapes. Each new shape costs a compilation (torch.compile, static
    caches) or a block of memory that the backend keeps.
    """

    lengths: tuple[int, ...]

    def __post_init__(self) -> None:
        ascending = all(a < b for a, b in zip(self.lengths, self.lengths[1:], strict=False))
        if not self.lengths or self.lengths[0] < 1 or not ascending:
            raise ValueError(f"lengths must be positive and ascending, got {self.lengths}")

    @classmethod
    def up_to(cls, longest: int, step: int = 16) -> Self:
        """Return buckets of every multiple of `step` tokens below `longest`, and `longest`."""
        return cls((*range(step, longest, step), longest))

    def up(self, length: int) -> int:
        """Return the bucket of a length. Raises ValueError where it is longer than every bucket."""
        for bucket in self.lengths:
            if length <= bucket:
                return bucket
        raise ValueError(f"a text of {length} tokens, the longest bucket is {self.lengths[-1]}")

    def batches(
        self, lengths: Sequence[int], size: int, seed: int, *names: str | int
    ) -> list[list[int]]:
        """Return indices into `lengths` in batches of `size`; one batch may be smaller.

        A batch holds texts of one bucket, or of neighbours where a bucket does not fill it. Which
        texts, and the order of the batches, is drawn from `seed` and `names`. Texts are not sorted
        by length within a bucket: they are padded to the same length anyway, and drawing from more
        texts makes the negatives of a batch more diverse.
        """
        order = sorted(
            range(len(lengths)),
            key=lambda at: (self.up(lengths[at]), draw(seed, "text", *names, at)),
        )
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        turns = [draw(seed, "batch", *names, number) for number in range(len(batches))]
        return [batch for _, batch in sorted(zip(turns, batches, strict=True))]
