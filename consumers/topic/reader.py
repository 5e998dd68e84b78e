"""The committed records of topics, read in order by a consumer that joins no group."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, Self

from kaption.connections.errors import Fatal, Retry, must_be
from kaption.connections.kafka.access import denial, opened
from kaption.connections.kafka.clients import topic_consumer
from kaption.connections.kafka.internals import fetch_by_id, take_doubt
from kaption.connections.kafka.library import KafkaError, TopicPartition
from kaption.connections.kafka.topic_ids import TopicIds
from kaption.connections.kafka.unreadable import REPAIR, UnreadableBatch
from kaption.connections.settings import KafkaConnection
from kaption.consumers.stream import Stop
from kaption.schemas import MalformedRecordError, Position, Topic, Versioned, WireError, decode
from kaption.schemas.record import differ

_POLL_MS = 500


class ReadError(Exception):
    """Topics cannot be read; the message says which and what to do."""


class Tombstone(MalformedRecordError):
    """A message without a value: what was sent under its key before is withdrawn."""

    def __init__(self, key: bytes | None) -> None:
        self.key = (key or b"").decode(errors="replace")
        super().__init__(f"empty message (tombstone) for {self.key[:100]!r}")


class Read(NamedTuple):
    """One message: its position, its record and its headers."""

    position: Position
    """The topic's name is as on the broker, with the prefix."""
    record: Versioned | WireError
    """An error where the message cannot be decoded; a `Tombstone` where it is empty."""
    headers: list[tuple[str, bytes | None]]


Wanted = Callable[[Any], bool]
"""Tells of a message of kafka-python whether to decode it: it has `key`, `value`, `topic`,
`partition`, `offset` and `timestamp` (ms since 1970-01-01 UTC)."""


class TopicReader:
    """Iterates over the committed records of topics; each partition in offset order.

    topics: as in `schemas.TOPICS`, without the prefix.
    start: where to begin. A time: at the first message that is not older (a time without a zone is
    local time). Positions: there, in their partitions. Elsewhere reading begins at the log's start.
    owns: tells of a partition's number whether to read it; None: all are read.
    follow_until: read on until it is set. None: stop at the ends that the partitions have when the
    iteration begins.
    timeout_s: for the first broker, and for the next records before the end. Where nothing listens
    at the broker's address, a few seconds are enough to say so.

    Each iteration begins anew. Raises ReadError: no broker answers, a topic is missing or was
    deleted and created again, a batch is damaged, or nothing came for `timeout_s` before the end.
    A context manager; otherwise call `close`.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Sequence[Topic],
        *,
        start: datetime | Iterable[Position] = (),
        owns: Callable[[int], bool] | None = None,
        follow_until: Stop | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        must_be(connection, KafkaConnection, "connection", "KafkaConnection(bootstrap='host:9092')")
        for each in topics:
            must_be(each, Topic, "each of topics", "a Topic, such as kaption.schemas.topics.CLEAN")
        self._topics = {each.prefixed(connection.topic_prefix).name: each for each in topics}
        self._since = start if isinstance(start, datetime) else None
        positions = () if isinstance(start, datetime) else start
        self._start = {TopicPartition(each.topic, each.partition): each for each in positions}
        self._owns = owns
        self._follow_until = follow_until
        self._timeout_s = timeout_s
        self._connection = connection
        self._topic_ids = TopicIds(connection, timeout_s)
        try:
            self._consumer = opened(
                connection, timeout_s, lambda: topic_consumer(connection, timeout_s)
            )
        except (Fatal, Retry) as error:
            raise ReadError(str(error)) from error
        fetch_by_id(self._consumer, self._topic_ids.uuid)

    def __iter__(self) -> Iterator[Read]:
        return (read for read in self.reads() if read is not None)

    def reads(
        self, until: Mapping[tuple[str, int], int] | None = None, wanted: Wanted | None = None
    ) -> Iterator[Read | None]:
        """Like the iteration, and None after each poll: no more records have arrived so far.

        `until` gives ends that `ends` returned earlier; with `follow_until` there are none. Only
        `wanted` messages are decoded and returned: a search by key is ten times as fast.
        """
        with self._told("reading"):
            yield from self._records(until, wanted)

    def begin_at(self, positions: Iterable[Position]) -> None:
        """Begin later iterations there, in the partitions of these positions."""
        self._start |= {TopicPartition(each.topic, each.partition): each for each in positions}

    def topic_id(self, topic: str, expected: str | None = None) -> str | None:
        """The id of a topic, by its name on the broker; None where the broker does not tell it.

        Raises ReadError where it is not `expected`: offsets that were saved with that id are places
        in a topic that is no more.
        """
        with self._told("reading"):
            self._topic_ids.check([topic])
        found = self._topic_ids.of(topic)
        if differ(expected, found):
            raise ReadError(
                f"topic {topic} was deleted and created again (its id was {expected} and is "
                f"{found}): begin without the saved state, to read it from its start"
            )
        return found

    def ends(self) -> dict[tuple[str, int], int]:
        """The offset after the last committed one, by topic (its name on the broker) and partition.

        Moves the reader: do not call it during an iteration.
        """
        with self._told("looking for the ends of"):
            return {(each.topic, each.partition): end for each, end in self._ends().items()}

    def close(self) -> None:
        """Close the connections."""
        if sys.is_finalizing():
            return  # a generator left behind: the threads that Kafka's client waits for are gone
        self._consumer.close()
        self._topic_ids.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _records(
        self, until: Mapping[tuple[str, int], int] | None, wanted: Wanted | None
    ) -> Iterator[Read | None]:
        partitions = self._assign()
        if not partitions:
            return
        for topic, topic_id in {(each.topic, each.topic_id) for each in self._start.values()}:
            self.topic_id(topic, topic_id)
        follow = self._follow_until is not None
        ends: Mapping[TopicPartition, int] = {}
        if not follow and until is None:
            ends = self._ends()
        elif not follow and until is not None:
            ends = {each: until.get((each.topic, each.partition), 0) for each in partitions}
        for partition, begin in self._begins(partitions).items():
            start = self._start.get(partition)
            self._consumer.seek(partition, begin if start is None else start.offset)
        self._consumer.resume(*partitions)
        waiting_since = time.monotonic()
        while partitions := self._unfinished(partitions, ends):
            found = self._consumer.poll(timeout_ms=_POLL_MS)
            if take_doubt(self._consumer):
                self._topic_ids.check(self._topics)
            for partition, messages in found.items():
                for message in messages:
                    within = message.offset < ends.get(partition, message.offset + 1)
                    if within and (wanted is None or wanted(message)):
                        yield self._read(message)
            yield None
            if self._follow_until is not None and self._follow_until.is_set():
                return
            if found or follow:
                waiting_since = time.monotonic()
            elif time.monotonic() - waiting_since > self._timeout_s:
                raise ReadError(_stalled(partitions, self._timeout_s))

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except (KafkaError, Fatal) as error:
            if isinstance(error, UnreadableBatch):
                raise ReadError(f"{error}; {REPAIR}") from error
            why = denial(self._connection, error) or error
            raise ReadError(f"{what} {', '.join(self._topics)} failed: {why}") from error

    def _begins(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        if self._since is None:
            begins: dict[TopicPartition, int] = self._consumer.beginning_offsets(partitions)
            return begins
        since_ms = int(self._since.timestamp() * 1000)
        found = self._consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
        ends = self._consumer.end_offsets(partitions)
        # None: every message of the partition is older.
        return {each: first.offset if first else ends[each] for each, first in found.items()}

    def _assign(self) -> list[TopicPartition]:
        partitions = []
        for topic in self._topics:
            numbers = self._consumer.partitions_for_topic(topic)
            if not numbers:
                raise ReadError(f"there is no topic {topic}: run `kaption topics create`")
            partitions += [
                TopicPartition(topic, number)
                for number in sorted(numbers)
                if self._owns is None or self._owns(number)
            ]
        if partitions:
            self._topic_ids.check(self._topics)
            self._consumer.assign(partitions)
        return partitions

    def _ends(self) -> dict[TopicPartition, int]:
        """The present end of each partition, found by fetching the last batch.

        On Apache Kafka the broker's answer would do. Tansu answers with the first offset of the
        last batch plus one. A fetch from there returns that batch, always whole.
        """
        partitions = self._assign()
        if not partitions:
            return {}
        begins = self._consumer.beginning_offsets(partitions)
        ends: dict[TopicPartition, int] = self._consumer.end_offsets(partitions)
        for partition in partitions:
            self._consumer.seek(partition, max(begins[partition], ends[partition] - 1))
        self._consumer.resume(*partitions)
        deadline = time.monotonic() + self._timeout_s
        while partitions := self._unfinished(partitions, ends):
            self._consumer.poll(timeout_ms=_POLL_MS)
            if time.monotonic() > deadline:
                raise ReadError(_stalled(partitions, self._timeout_s))
        return {
            partition: max(end, self._consumer.position(partition))
            for partition, end in ends.items()
        }

    def _unfinished(
        self, partitions: Sequence[TopicPartition], ends: Mapping[TopicPartition, int]
    ) -> list[TopicPartition]:
        """Those before their end; the others are paused, so that nothing more is fetched."""
        done = [each for each in partitions if self._reached(each, ends.get(each))]
        self._consumer.pause(*done)
        return [each for each in partitions if each not in done]

    def _reached(self, partition: TopicPartition, end: int | None) -> bool:
        # Positions pass transaction markers and compacted offsets, so they do reach the end.
        return end is not None and self._consumer.position(partition) >= end

    def _read(self, message: Any) -> Read:
        headers = list(message.headers)
        record: Versioned | WireError
        try:
            if message.value is None:
                record = Tombstone(message.key)
            else:
                record = decode(message.value, self._topics[message.topic].record, headers)
        except WireError as error:
            record = error
        topic_id = self._topic_ids.of(message.topic)
        position = Position(message.topic, message.partition, message.offset, topic_id)
        return Read(position, record, headers)


def _stalled(partitions: Sequence[TopicPartition], seconds: float) -> str:
    names = ", ".join(f"{each.topic}/{each.partition}" for each in partitions[:5])
    return f"nothing came from {names} (and perhaps others) for {seconds:g} s before their end"
