"""`ShardStream`: training samples from the shards of a dataset, which may still grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import IterableDataset

from kaption.connections.errors import must_be
from kaption.connections.settings import StoreConnection
from kaption.consumers.options import ShardOptions
from kaption.consumers.shards.epoch import ShardEpoch
from kaption.consumers.shards.progress import ShardProgress
from kaption.consumers.share import Rank
from kaption.consumers.stream import Sample
from kaption.objectstore import ObjectStore, open_store


class ShardStream(IterableDataset[Sample]):
    """Gives each sample of the dataset at `prefix` once an epoch, over all ranks and workers.

    `store` is a connection, which is opened in the process that reads, or an object store that can
    be pickled. Each shard belongs to one reader (a DataLoader worker of a rank), of a merged shard
    each of its parts. Readers may get different numbers of samples, so a distributed training loop
    should count steps. In a DataLoader that accelerate prepares (also by Trainer) ranks do not
    count: accelerate deals the samples.

    **Order.** `seed` and epoch decide the order. `set_epoch` sets the epoch, as with torch's
    DistributedSampler. Without it every epoch has the same order.

    **Growth.** An epoch holds the shards that exist when it begins. With `follow` it goes on with
    new shards until `stop` is set.

    **Versions.** With `latest` only the latest version of each pair is given, among all shards up
    to the last that is planned: those of the epoch, or with `follow` those that the last look
    found. A version in a later shard does not take back a sample that was given. A pair whose
    partition changed, because the topic got more partitions, counts as two pairs.

    **Pins.** With `pin` an epoch holds the shards of that version: the same samples in the same
    order at any time, up to what docs/training.md says of takedowns.

    **Faults.** Size and sha256 of every object are verified. A damaged object is left out, logged
    once, counted in `damaged` and reported to `on_damage`. Pairs that are taken down are left out,
    at most `takedown_s` later. The stream waits up to five minutes for a store that is down.

    **Resuming.** `state_dict` holds places, no data. After `load_state_dict` the next iteration
    gives exactly the rest in the same order, without samples that were taken down or damaged since;
    it reads the samples of the buffer again. A state belongs to one worker of one rank, and their
    numbers must not change; torchdata's StatefulDataLoader sees to that.

    **Compaction** may run meanwhile, but not while the readers of one epoch begin it: they would
    not agree on which shard belongs to whom. docs/training.md says what a resumed stream reads
    after merged shards are deleted.

    Raises ShardError, Retry, Fatal and ValueError.
    """

    def __init__(
        self,
        store: StoreConnection | ObjectStore,
        prefix: str = "dataset",
        options: ShardOptions | None = None,
        *,
        seed: int = 0,
    ) -> None:
        must_be(store, StoreConnection | ObjectStore, "store", "StoreConnection(url='out/store')")
        must_be(options, ShardOptions | None, "options", "ShardOptions(...) or None")
        must_be(seed, int, "seed", "a whole number")
        super().__init__()
        self._store = store
        self._prefix = prefix
        self._seed = seed
        self._options = options or ShardOptions()
        self._rank = Rank(self._options.rank, self._options.world_size)
        self._epoch = torch.zeros((), dtype=torch.int64)
        # Shared memory, so that DataLoader workers that persist see a new epoch.
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._loaded: ShardProgress | None = None
        self._running: ShardEpoch | None = None

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of iterations that begin from now on, also in DataLoader workers."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[Sample]:
        progress = self._loaded or ShardProgress(epoch=int(self._epoch))
        share = self._rank.share()
        share.check(progress.share)
        progress.share, self._loaded = share, None
        store = self._store
        objects = open_store(store) if isinstance(store, StoreConnection) else store
        self._running = ShardEpoch(
            objects, self._prefix, self._options, self._seed, share=share, progress=progress
        )
        return self._running.samples()

    def state_dict(self) -> dict[str, Any]:
        """Return what is left of this process's iteration, as plain values (JSON, torch.save)."""
        return self._progress().state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration give what was left. Raises ValueError for another state."""
        self._loaded = ShardProgress.of(state)

    @property
    def damaged(self) -> dict[str, str]:
        """What is wrong with the objects that this process could not use, by key."""
        return dict(self._progress().damaged)

    @property
    def skipped(self) -> Counter[str]:
        """How many samples this process left out, by reason: ``replaced``, ``taken_down``."""
        return Counter(self._progress().skipped)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_running": None}  # open files and connections cannot be pickled

    def _progress(self) -> ShardProgress:
        if self._loaded is not None:
            return self._loaded
        if self._running is not None:
            return self._running.progress()
        return ShardProgress(epoch=int(self._epoch))
