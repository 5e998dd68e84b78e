"""Training samples from the shards of a growing dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import IterableDataset

from kaption.connections.settings import StoreConnection
from kaption.consumers.shards.epoch import ShardEpoch, ShardOptions
from kaption.consumers.shards.progress import ShardProgress
from kaption.consumers.shards.reader import OnDamage
from kaption.consumers.stream import Never, Sample, Stop, rank_of, share_of
from kaption.objectstore import open_store
from kaption.objectstore.store import Objects


class ShardStream(IterableDataset[Sample]):
    """Each sample of the dataset at `prefix` once an epoch, over all ranks and DataLoader workers.

    `store` is a connection (opened in the process that reads) or objects that survive being sent
    to DataLoader workers, such as `FolderObjects`. The rank is that of torch.distributed as it is
    now, or `rank` and `world_size`. A shard belongs to one reader; readers may get different
    numbers of samples, so a distributed loop should count steps.

    **Order.** With `shuffle` shards come in an order of `seed` and epoch, and samples are drawn
    from a buffer of `buffer` of them (0: none); else by partition and offset. `set_epoch` names the
    epoch, as with torch's DistributedSampler; without it every epoch has the same order.

    **Growth.** An epoch holds the shards that are there when it begins. With `follow` it goes on
    with those that come, looking every `poll_s`, until `stop` is set. DataLoader workers need a
    `multiprocessing.Event` as `stop`.

    **Versions.** With `latest`, of the shards planned together (the epoch's, or those that one look
    of `follow` found) only the latest version of each pair is given. Each reader reads the tables
    of all these shards for it. Not promised: a version in a shard that came later replaces nothing
    already given, and a pair whose partition changed with the topic's is two pairs.

    **Faults.** Objects are verified by size and sha256. Damaged ones are passed over, logged once,
    counted in `damaged` and given to `on_damage(key, what)` in the process that read them. Pairs
    taken down are left out, also when that comes within the epoch: rules are read again every
    `takedown_s`. A store that is away is waited for, at most five minutes.

    **Resuming.** `state_dict` holds places, not data; after `load_state_dict` the next iteration
    gives exactly the rest, in order, less what was taken down or damaged meanwhile: shuffled
    samples are fetched again. It belongs to the same rank and worker of as many; torchdata's
    StatefulDataLoader sees to that.

    **Compaction** may go on meanwhile, but not while the readers of one epoch begin it: they would
    not agree on what is whose. As long as what was merged is kept (`kaption compact --grace`), a
    stream that is resumed reads that; afterwards the larger shards, once for each one of its plan,
    and versions that were replaced since it began are left out.

    Raises ShardError, Retry, Fatal, ValueError.
    """

    def __init__(
        self,
        store: StoreConnection | Objects,
        prefix: str = "dataset",
        *,
        follow: bool = False,
        stop: Stop | None = None,
        shuffle: bool = True,
        buffer: int = 1000,
        seed: int = 0,
        latest: bool = True,
        rank: int | None = None,
        world_size: int | None = None,
        poll_s: float = 10.0,
        takedown_s: float = 60.0,
        on_damage: OnDamage | None = None,
    ) -> None:
        super().__init__()
        self._store = store
        self._options = ShardOptions(
            prefix=prefix,
            follow=follow,
            stop=stop or Never(),
            shuffle=shuffle,
            buffer=buffer if shuffle else 0,
            seed=seed,
            latest=latest,
            poll_s=poll_s,
            takedown_s=takedown_s,
            on_damage=on_damage,
        )
        self._rank = rank_of(rank, world_size)
        self._epoch = torch.zeros((), dtype=torch.int64)
        # Workers that persist see it change.
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._loaded: ShardProgress | None = None
        self._running: ShardEpoch | None = None

    def set_epoch(self, epoch: int) -> None:
        """The epoch of iterations that begin from now on, also in DataLoader workers."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[Sample]:
        progress = self._loaded or ShardProgress(int(self._epoch))
        share = share_of(self._rank)
        share.check(progress.share)
        progress.share, self._loaded = share, None
        store = self._store
        objects: Objects = open_store(store) if isinstance(store, StoreConnection) else store
        self._running = ShardEpoch(objects, self._options, progress, share)
        return self._running.samples()

    def state_dict(self) -> dict[str, Any]:
        """What is left of the iteration that runs in this process, as plain values."""
        return self._progress().state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next iteration gives what was left. Raises ValueError for another stream's state."""
        self._loaded = ShardProgress.of(state)

    @property
    def damaged(self) -> dict[str, str]:
        """By key, what is wrong with the objects that this process could not use."""
        return dict(self._progress().damaged)

    @property
    def skipped(self) -> Counter[str]:
        """How many samples this process left out: ``replaced``, ``taken_down``."""
        return Counter(self._progress().skipped)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_running": None}  # it holds open files and connections

    def _progress(self) -> ShardProgress:
        if self._loaded is not None:
            return self._loaded
        if self._running is not None:
            return self._running.progress()
        return ShardProgress(int(self._epoch))
