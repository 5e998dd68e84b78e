"""How many records lie between two offsets: transaction markers take offsets, too."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

from kafka import TopicPartition
from kafka.errors import KafkaError

from kaption.connections.kafka.clients import topic_consumer
from kaption.connections.kafka.lag import GroupProgress, PartitionProgress
from kaption.connections.kafka.messages import Partition
from kaption.connections.settings import KafkaConnection

_POLL_MS = 200
_TIMEOUT_S = 15.0


class RecordCounts:
    """Counts the records of partitions by about the newest `most` offsets of each group.

    The broker tells offsets and no numbers of records, so the messages are fetched, undecoded.
    Older offsets are assumed to hold the same share of records. The alternative, a count beside
    each committed offset, would make workers of two versions disagree about what a commit means.
    It is a context manager.
    """

    def __init__(self, connection: KafkaConnection, most: int) -> None:
        """Connect. Raises KafkaError."""
        self._consumer = topic_consumer(connection, _TIMEOUT_S)
        self._most = most
        self._seen: dict[Partition, tuple[int, int, list[int]]] = {}
        """The first and the last offset that were looked at, and those of records, ascending."""

    def look(self, groups: Iterable[GroupProgress]) -> None:
        """Look at what is new in these partitions. What the broker does not give stays unseen."""
        for group in groups:
            wanted = {TopicPartition(*each.partition): each for each in group.partitions}
            with suppress(KafkaError):
                self._fetch(wanted, self._most // max(1, len(wanted)))

    def done(self, group: GroupProgress) -> tuple[int, bool]:
        """The records that are done, and whether each one was seen."""
        return self._sum((each, 0, each.done) for each in group.partitions)

    def lag(self, group: GroupProgress) -> tuple[int, bool]:
        """The records that are to be done, and whether each one was seen."""
        return self._sum((each, each.done, each.end) for each in group.partitions)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._consumer.close()

    def _fetch(self, wanted: dict[TopicPartition, PartitionProgress], share: int) -> None:
        starts = {}
        for place, each in wanted.items():
            first, last, offsets = self._seen.get(each.partition, (each.end, each.end, []))
            start = max(each.begin, each.end - share)
            if offsets and last >= start:
                start = last
                if len(offsets) > 2 * share:
                    offsets = offsets[-share:]
                    first = offsets[0]
            else:
                first, offsets = start, []
            self._seen[each.partition] = first, start, offsets
            starts[place] = start
        unread = {place for place, start in starts.items() if start < wanted[place].end}
        self._consumer.assign(list(unread))
        for place in unread:
            self._consumer.seek(place, starts[place])
        deadline = time.monotonic() + _TIMEOUT_S
        while unread and time.monotonic() < deadline:
            found = self._consumer.poll(timeout_ms=_POLL_MS)
            for place, messages in found.items():
                self._seen[Partition(*place)][2].extend(each.offset for each in messages)
            for place in list(unread):
                first, _, offsets = self._seen[Partition(*place)]
                position = self._consumer.position(place)
                self._seen[Partition(*place)] = first, position, offsets
                if position >= wanted[place].end:
                    unread.discard(place)
                    self._consumer.pause(place)

    def _sum(self, spans: Iterable[tuple[PartitionProgress, int, int]]) -> tuple[int, bool]:
        total, exact = 0.0, True
        for each, start, end in spans:
            first, last, offsets = self._seen.get(each.partition, (0, 0, []))
            low, high = max(start, first), min(end, last)
            seen = bisect_left(offsets, high) - bisect_left(offsets, low) if low < high else 0
            unseen = max(0, end - start) - max(0, high - low)
            share = len(offsets) / (last - first) if last > first else 1.0
            total += seen + unseen * share
            exact &= not unseen
        return round(total), exact
