"""Training samples from pairs.clean, while the crawl is still running or up to its present end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from torch.utils.data import IterableDataset

from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.consumers.stream import Never, Sample, Stop, rank_of, share_of
from kaption.consumers.topic.run import TopicOptions, TopicProgress, TopicRun
from kaption.objectstore import ObjectStore, open_store


class TopicStream(IterableDataset[Sample]):
    """Committed pairs of pairs.clean with their images, over all ranks and DataLoader workers.

    Connections are opened in the process that reads. A partition belongs to one reader, so more
    readers than partitions idle; the rank is that of torch.distributed as it is now, or `rank` and
    `world_size`. Each iteration begins at the log's start. It ends at the end that the log has
    then; with `follow` it goes on until `stop` is set (DataLoader workers need a
    `multiprocessing.Event`), and what was read but not given is left for the next time.

    **Images** are fetched from the blob store by `fetchers` threads, up to `ahead` of the
    training loop. One that is missing or damaged is passed over, logged and counted. A store that
    is away is waited for, at most five minutes.

    **Versions.** A message is replaced by a later one of the same pair in its partition, and
    dropped by a tombstone. Up to the present end that holds throughout: the partitions are read
    twice, and the ids of their pairs are kept in memory. With `follow` it holds within `window`
    offsets and for what comes in one poll, because who follows does not wait for what may come:
    beyond that a later version is given as one more sample.

    **Takedowns** below `prefix` in the store are read again every `takedown_s`.

    **Resuming.** `state_dict` holds the next offset of each partition, and the end as soon as there
    is a first sample. After `load_state_dict` the next iteration gives the rest: in each partition
    in order, how partitions alternate is chance. It belongs to the same rank and worker of as many;
    torchdata's StatefulDataLoader sees to that.

    Raises ReadError, Retry, Fatal, ValueError.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        store: StoreConnection | ObjectStore,
        prefix: str = "dataset",
        *,
        follow: bool = False,
        stop: Stop | None = None,
        window: int = 200,
        fetchers: int = 8,
        ahead: int = 64,
        rank: int | None = None,
        world_size: int | None = None,
        takedown_s: float = 60.0,
        timeout_s: float = 30.0,
    ) -> None:
        super().__init__()
        self._connection = connection
        self._store = store
        self._options = TopicOptions(
            prefix=prefix,
            follow=follow,
            stop=stop or Never(),
            window=window,
            fetchers=fetchers,
            ahead=ahead,
            takedown_s=takedown_s,
            timeout_s=timeout_s,
        )
        self._rank = rank_of(rank, world_size)
        self._loaded: TopicProgress | None = None
        self._running: TopicRun | None = None

    def __iter__(self) -> Iterator[Sample]:
        progress = self._loaded or TopicProgress()
        share = share_of(self._rank)
        share.check(progress.share)
        progress.share, self._loaded = share, None
        store = self._store
        objects = open_store(store) if isinstance(store, StoreConnection) else store
        self._running = TopicRun(self._connection, objects, self._options, progress, share)
        return self._running.samples()

    def state_dict(self) -> dict[str, Any]:
        """What is left of the iteration that runs in this process, as plain values."""
        return self._progress().state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next iteration gives what was left. Raises ValueError for another stream's state."""
        self._loaded = TopicProgress.of(state)

    @property
    def skipped(self) -> Counter[str]:
        """How many messages this process left out: ``replaced``, ``tombstone``, ``taken_down``,
        ``missing``, ``damaged``, ``malformed``.
        """
        return Counter(self._progress().skipped)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_running": None}  # it holds connections

    def _progress(self) -> TopicProgress:
        if self._loaded is not None:
            return self._loaded
        return TopicProgress() if self._running is None else self._running.progress
