"""Which part of a stream one reader gets, by its distributed rank and its DataLoader worker."""

from __future__ import annotations

import logging
import sys
from typing import NamedTuple

_SPLITTING_MODULES = {"accelerate.data_loader", "transformers.trainer_pt_utils"}
_SPLITTING_CLASSES = {"DataLoaderDispatcher", "IterableDatasetShard"}
_log = logging.getLogger(__name__)


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


class Rank:
    """This process among those of the training group: as given, else as torch.distributed says.

    Make it in the training process: DataLoader workers that were spawned do not know the group.
    Raises ValueError where only one of the two is given or `rank` is not below `world_size`.

    accelerate, and so the Trainer of transformers, splits a prepared DataLoader's samples itself:
    one process reads for all, or each reads everything and keeps its part. It cannot be told that a
    dataset is split already. So a stream that accelerate reads is not split between ranks here.
    """

    def __init__(self, rank: int | None, world_size: int | None) -> None:
        if (rank is None) != (world_size is None):
            raise ValueError("give rank and world_size, or neither")
        self._given = rank is not None
        self._share = _group() if rank is None or world_size is None else Share(rank, world_size)
        if not 0 <= self._share.number < self._share.total:
            raise ValueError(f"rank {rank} is not one of {world_size}")

    def share(self) -> Share:
        """Return the part that this DataLoader worker of the rank reads; call it there.

        Raises ValueError where the rank was given and accelerate would split its part again.
        """
        from torch.utils.data import get_worker_info

        rank, worker = self._outside_accelerate(), get_worker_info()
        if worker is None:
            return rank
        # Neighbours in number are workers of different ranks, so that no rank has all of the rest.
        return Share(worker.id * rank.total + rank.number, rank.total * worker.num_workers)

    def _outside_accelerate(self) -> Share:
        if self._share.total == 1 or not _accelerate_splits():
            return self._share
        if self._given:
            raise ValueError(
                f"rank {self._share.number} of {self._share.total} was given, and accelerate would "
                "split that part again: leave out rank and world_size, or do not prepare the loader"
            )
        return Share(0, 1)

    def __getstate__(self) -> dict[str, object]:
        # A spawned worker of accelerate's dispatcher does not see who reads it.
        return self.__dict__ | {"_share": self._outside_accelerate()}


def tell_idle(share: Share, what: str, *, error: bool) -> None:
    """Log, or with `error` raise as ValueError, that this reader has nothing to read."""
    text = (
        f"reader {share.number} of {share.total} has nothing to read: there are fewer {what} than "
        "readers, which are ranks times DataLoader workers"
    )
    if error:
        raise ValueError(text)
    _log.warning(text)


def _group() -> Share:
    import torch.distributed as group

    if group.is_available() and group.is_initialized():
        return Share(group.get_rank(), group.get_world_size())
    return Share(0, 1)


def _accelerate_splits() -> bool:
    """Whether one of accelerate's splitting classes is among the callers.

    It leaves no other trace in the dataset that it reads. (`GradientState.active_dataloader` is
    also set while the training loop reads other streams.)
    """
    frame = sys._getframe()
    while (caller := frame.f_back) is not None:
        frame = caller
        module, owner = frame.f_globals.get("__name__"), frame.f_code.co_qualname.split(".")[0]
        if module in _SPLITTING_MODULES and owner in _SPLITTING_CLASSES:
            return True
    return False
