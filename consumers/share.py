"""Which part of a stream one reader gets, by its distributed rank and its DataLoader worker."""

from __future__ import annotations

from typing import NamedTuple


class Share(NamedTuple):
    """Reader `number` of `total`. Every shard or partition number belongs to one reader."""

    number: int
    total: int

    def owns(self, each: int) -> bool:
        """Return whether the shard or partition of that number belongs to this reader."""
        return each % self.total == self.number

    def check(self, saved: Share | None) -> None:
        """Raise ValueError where a saved state is that of another reader; None: it has no owner."""
        if saved not in (None, self):
            raise ValueError(
                f"the state is of reader {saved}, this is {self}: resume with the same numbers of "
                "ranks and DataLoader workers"
            )


def rank_of(rank: int | None, world_size: int | None) -> Share:
    """Return the rank as given, else that of torch.distributed, else 0 of 1.

    Call it in the training process: DataLoader workers that were spawned do not know the group.
    Raises ValueError where only one of the two is given or `rank` is not below `world_size`.
    """
    if (rank is None) != (world_size is None):
        raise ValueError("give rank and world_size, or neither")
    if rank is not None and world_size is not None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not one of {world_size}")
        return Share(rank, world_size)
    import torch.distributed as group

    if group.is_available() and group.is_initialized():
        return Share(group.get_rank(), group.get_world_size())
    return Share(0, 1)


def share_of(rank: Share) -> Share:
    """Return the part of the rank's share that this DataLoader worker reads; call it there."""
    from torch.utils.data import get_worker_info

    worker = get_worker_info()
    if worker is None:
        return rank
    number = rank.number * worker.num_workers + worker.id
    return Share(number, rank.total * worker.num_workers)
