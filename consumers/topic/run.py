"""One iteration of a `TopicStream`: read messages, hold them back, fetch images, give samples."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Annotated, ClassVar

from kaption.connections.settings import KafkaConnection
from kaption.consumers.options import TopicOptions
from kaption.consumers.progress import PAIRS, StreamProgress
from kaption.consumers.share import Share, tell_idle
from kaption.consumers.stream import Sample
from kaption.consumers.topic.reader import Read, Tombstone, TopicReader
from kaption.consumers.topic.window import RecordWindow, WindowEntry
from kaption.objectstore import BlobStore, CorruptBlobError, ObjectStore
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.objectstore.open import patiently
from kaption.schemas import CleanPair, Position
from kaption.schemas.topics import CLEAN

_log = logging.getLogger(__name__)

_Ahead = deque[tuple[WindowEntry, Future[bytes] | None]]
"""Messages on their way to the training loop, each with its image that is being fetched."""


@dataclass(slots=True, kw_only=True)
class TopicProgress(StreamProgress):
    """The next offset of each partition, and the offsets at which reading ends."""

    kind: ClassVar[str] = "topic/1"
    stream: ClassVar[str] = "TopicStream"
    offsets: Annotated[dict[int, int], PAIRS] = field(default_factory=dict)
    """The next offset to give, by partition."""
    ends: Annotated[dict[int, int], PAIRS] | None = None
    """The end by partition. None before it is taken, and in a stream with `follow`."""
    topic_id: str | None = None
    """Of the topic that the offsets are of; None where it is not known."""
    skipped: Annotated[Counter[str], PAIRS] = field(default_factory=Counter)
    """Messages left out, by reason."""


class TopicRun:
    """Gives the samples that `progress` leaves, and updates it with each."""

    def __init__(
        self,
        connection: KafkaConnection,
        objects: ObjectStore,
        prefix: str,
        options: TopicOptions,
        *,
        share: Share,
        progress: TopicProgress,
    ) -> None:
        self.progress = progress
        self._connection = connection
        self._options = options
        self._share = share
        self._blobs = BlobStore(objects)
        self._takedowns = Takedowns(objects, prefix, every_s=options.takedown_s)
        self._window = RecordWindow(options.window if options.follow else 0)
        self._last: dict[tuple[int, str], int] | None = None
        """The last offset by partition and pair_id; None with `follow`."""
        self._ahead: _Ahead = deque()

    def samples(self) -> Iterator[Sample]:
        """Read messages, hold them back in the window, fetch their images ahead, give samples."""
        options, topic = self._options, CLEAN.prefixed(self._connection.topic_prefix).name
        offsets = self.progress.offsets.items()
        reader = TopicReader(
            self._connection,
            [CLEAN],
            start=[Position(topic, partition, offset) for partition, offset in offsets],
            owns=self._share.owns,
            follow_until=options.stop if options.follow else None,
            timeout_s=options.timeout_s,
        )
        pool = ThreadPoolExecutor(options.fetchers, thread_name_prefix="images")
        try:
            with reader:
                known = self.progress.topic_id
                self.progress.topic_id = reader.topic_id(topic, known) or known
                ends = self._ends(reader, topic)
                if not (reader.ends() if ends is None else ends):
                    tell_idle(self._share, "partitions", error=options.idle_error)
                if ends is not None:
                    going = takewhile(lambda _: not options.stop.is_set(), reader.reads(ends))
                    self._last = _last(going)
                    if options.stop.is_set():
                        return
                for read in reader.reads(ends):
                    yield from self._pass_on(read, pool)
                    if options.stop.is_set():
                        return
            if not options.follow:
                yield from self._let_go(self._window.flush(), pool, 0)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _ends(self, reader: TopicReader, topic: str) -> dict[tuple[str, int], int] | None:
        if self._options.follow:
            return None
        if self.progress.ends is None:
            self.progress.ends = {partition: end for (_, partition), end in reader.ends().items()}
        return {(topic, partition): end for partition, end in self.progress.ends.items()}

    def _pass_on(self, read: Read | None, pool: ThreadPoolExecutor) -> Iterator[Sample]:
        if read is None:
            # Nothing more is at hand. With `follow` everything held is given now, because the
            # window of a quiet partition may take long to fill. Without `follow` messages wait, so
            # that the samples depend on the log alone and not on the timing of polls.
            if self._options.follow:
                yield from self._let_go(self._window.flush(), pool, 0)
        else:
            released = self._window.add(self._held(read))
            yield from self._let_go(released, pool, self._options.ahead)

    def _held(self, read: Read) -> WindowEntry:
        position, pair_id = read.position, _pair_id(read)
        if pair_id is None:
            _log.warning("%s is left out: %s", position, read.record)
            # Its own position stands for the pair_id, so that no other message replaces it.
            return WindowEntry(position, str(position), None, "malformed")
        if self._last is not None and self._last[position.partition, pair_id] != position.offset:
            return WindowEntry(position, pair_id, None, "replaced")
        if isinstance(read.record, CleanPair):
            return WindowEntry(position, pair_id, read.record)
        return WindowEntry(position, pair_id, None, "tombstone")

    def _let_go(
        self, released: Iterator[WindowEntry], pool: ThreadPoolExecutor, left: int
    ) -> Iterator[Sample]:
        """Start to fetch the images of released messages; give all samples but the last `left`."""
        for held in released:
            pair = None if held.skip else held.pair
            self._ahead.append((held, None if pair is None else pool.submit(self._fetch, pair)))
            yield from self._given(self._options.ahead)
        yield from self._given(left)

    def _given(self, left: int) -> Iterator[Sample]:
        while len(self._ahead) > left and not self._options.stop.is_set():
            (held, image) = self._ahead.popleft()
            self.progress.offsets[held.position.partition] = held.position.offset + 1
            sample = self._sample(held, image)
            if sample is not None:
                yield sample

    def _sample(self, held: WindowEntry, image: Future[bytes] | None) -> Sample | None:
        if held.pair is None or image is None:
            self.progress.skipped[held.skip or ""] += 1
            return None
        if self._takedowns.covers(held.pair):
            self.progress.skipped["taken_down"] += 1
            return None
        try:
            return Sample(held.pair, image.result())
        except (KeyError, CorruptBlobError) as error:
            reason = "missing" if isinstance(error, KeyError) else "damaged"
            self.progress.skipped[reason] += 1
            _log.warning("%s is left out: its image is %s: %s", held.position, reason, error)
            return None

    def _fetch(self, pair: CleanPair) -> bytes:
        return patiently(lambda: self._blobs.get(pair.image.blob))


def _last(reads: Iterable[Read | None]) -> dict[tuple[int, str], int]:
    """Return the last offset by partition and pair_id."""
    last: dict[tuple[int, str], int] = {}
    for read in filter(None, reads):
        pair_id = _pair_id(read)
        if pair_id is not None:
            last[read.position.partition, pair_id] = read.position.offset
    return last


def _pair_id(read: Read) -> str | None:
    match read.record:
        case CleanPair(pair_id=pair_id) | Tombstone(key=pair_id):
            return pair_id
    return None
