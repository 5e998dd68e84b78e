"""`TopicStream`: training samples from pairs.clean, while the crawl still runs or up to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from torch.utils.data import IterableDataset

from kaption.connections.errors import must_be
from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.consumers.options import TopicOptions
from kaption.consumers.share import Rank
from kaption.consumers.stream import Sample
from kaption.consumers.topic.run import TopicProgress, TopicRun
from kaption.objectstore import ObjectStore, open_store


class TopicStream(IterableDataset[Sample]):
    """Gives the committed pairs of pairs.clean with their images, over all ranks and workers.

    `store` is a connection, which is opened in the process that reads, or an object store that can
    be pickled. Each partition belongs to one reader (a DataLoader worker of a rank), so readers
    beyond the number of partitions get nothing. In a DataLoader that accelerate prepares (also by
    Trainer) ranks do not count: accelerate deals the samples.

    Each iteration begins at the start of the log. It ends at the end that the log has then. With
    `follow` it goes on until `stop` is set; pairs that were read but not given until then are left
    for the next iteration.

    **Images** are fetched from the store ahead of the training loop. A missing or damaged image is
    left out, logged and counted. The stream waits up to five minutes for a store that is down.

    **Versions.** A later message of the same pair replaces an earlier one, and a tombstone removes
    it. Without `follow` this holds for the whole log: each partition is read twice, and the ids of
    its pairs are kept in memory. With `follow` it holds for messages within `window` offsets that
    came in one poll: waiting for what may come would delay every sample. So a later version may be
    given as one more sample.

    **Takedowns** below `prefix` in the store are left out, at most `takedown_s` later.

    **Resuming.** `state_dict` holds the next offset of each partition, and the end as soon as one
    sample was given. After `load_state_dict` the next iteration gives the rest: each partition in
    order, the partitions alternating at random. A state belongs to one worker of one rank, and
    their numbers must not change; torchdata's StatefulDataLoader sees to that.

    Raises ReadError, Retry, Fatal and ValueError.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        store: StoreConnection | ObjectStore,
        prefix: str = "dataset",
        options: TopicOptions | None = None,
    ) -> None:
        must_be(connection, KafkaConnection, "connection", "KafkaConnection(bootstrap='host:9092')")
        must_be(store, StoreConnection | ObjectStore, "store", "StoreConnection(url='out/store')")
        must_be(options, TopicOptions | None, "options", "TopicOptions(...) or None")
        super().__init__()
        self._connection = connection
        self._store = store
        self._prefix = prefix
        self._options = options or TopicOptions()
        self._rank = Rank(self._options.rank, self._options.world_size)
        self._loaded: TopicProgress | None = None
        self._running: TopicRun | None = None

    def __iter__(self) -> Iterator[Sample]:
        progress = self._loaded or TopicProgress()
        share = self._rank.share()
        share.check(progress.share)
        progress.share, self._loaded = share, None
        store = self._store
        objects = open_store(store) if isinstance(store, StoreConnection) else store
        self._running = TopicRun(
            self._connection, objects, self._prefix, self._options, share=share, progress=progress
        )
        return self._running.samples()

    def state_dict(self) -> dict[str, Any]:
        """Return what is left of this process's iteration, as plain values (JSON, torch.save)."""
        return self._progress().state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration give what was left. Raises ValueError for another state."""
        self._loaded = TopicProgress.of(state)

    @property
    def skipped(self) -> Counter[str]:
        """How many messages this process left out, by reason: ``replaced``, ``tombstone``,
        ``taken_down``, ``missing``, ``damaged``, ``malformed``.
        """
        return Counter(self._progress().skipped)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_running": None}  # connections cannot be pickled

    def _progress(self) -> TopicProgress:
        if self._loaded is not None:
            return self._loaded
        return TopicProgress() if self._running is None else self._running.progress
