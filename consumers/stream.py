"""Which part of a stream is this process's: by distributed rank and DataLoader worker."""

from __future__ import annotations

import time
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from kaption.schemas import CleanPair

if TYPE_CHECKING:
    from PIL import Image


class Stop(Protocol):
    """An event of `threading`, or of `multiprocessing` where DataLoader workers read."""

    def is_set(self) -> bool:
        """Whether it is time to end."""

    def wait(self, timeout: float, /) -> bool:
        """Wait until it is, at most `timeout` seconds; whether it is."""


class Never:
    """Nothing ends it but who reads it."""

    def is_set(self) -> bool:
        """False."""
        return False

    def wait(self, timeout: float, /) -> bool:
        """Sleep."""
        time.sleep(timeout)
        return False


@runtime_checkable
class Stateful(Protocol):
    """A stream that can go on where it was."""

    def state_dict(self) -> dict[str, Any]:
        """What is left after the last sample that it gave."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next iteration gives what was left."""


class Sample(NamedTuple):
    """One clean pair with its stored image; picklable."""

    pair: CleanPair
    image: bytes
    """As stored: re-encoded by ingest, at most the configured longest side."""

    def decode(self) -> Image.Image:
        """The image, RGB and decoded, in its own ratio. Raises OSError where it is damaged."""
        from PIL import Image

        return Image.open(BytesIO(self.image)).convert("RGB")


class Share(NamedTuple):
    """Reader `number` of `total`; each number (of a shard, of a partition) has one reader."""

    number: int
    total: int

    def owns(self, each: int) -> bool:
        """Whether this reader has it."""
        return each % self.total == self.number

    def check(self, saved: Share | None) -> None:
        """Raises ValueError where a saved state, if there is one, is another reader's."""
        if saved not in (None, self):
            raise ValueError(
                f"the state is of reader {saved}, this is {self}: resume with the same numbers of "
                "ranks and DataLoader workers"
            )


def rank_of(rank: int | None, world_size: int | None) -> Share:
    """The rank as given, or as torch.distributed knows it; alone where it is not initialised.

    To be asked in the training process: spawned DataLoader workers know nothing of the group.
    Raises ValueError where only one is given or they do not fit.
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
    """The rank's share, split further among its DataLoader workers; asked in the worker."""
    from torch.utils.data import get_worker_info

    worker = get_worker_info()
    if worker is None:
        return rank
    number = rank.number * worker.num_workers + worker.id
    return Share(number, rank.total * worker.num_workers)
