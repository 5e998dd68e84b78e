"""The committed records of topics, read in order by a consumer that joins no group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self

from kaption.connections.errors import Fatal
from kaption.connections.kafka.access import check_access, denial
from kaption.connections.kafka.clients import topic_consumer
from kaption.connections.kafka.library import KafkaError, TopicPartition
from kaption.connections.settings import KafkaConnection
from kaption.consumers.stream import Stop
from kaption.schemas import MalformedRecordError, Position, Topic, Versioned, WireError, decode

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


class TopicReader:
    """Iterates over the committed records of topics; each partition in offset order.

    topics: as in `schemas.TOPICS`, without the prefix.
    start: where to begin. A time: at the first message that is not older (a time without a zone is
    local time). Positions: there, in their partitions. Elsewhere reading begins at the log's start.
    owns: tells of a partition's number whether to read it; None: all are read.
    follow_until: read on until it is set. None: stop at the ends that the partitions have when the
    iteration begins.
    timeout_s: for the first broker, and for the next records before the end.

    Each iteration begins anew. Raises ReadError: no broker answers, a topic is missing, or nothing
    came for `timeout_s` before the end. A context manager; otherwise call `close`.
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
        self._topics = {each.prefixed(connection.topic_prefix).name: each for each in topics}
        self._since = start if isinstance(start, datetime) else None
        positions = () if isinstance(start, datetime) else start
        self._start = {
            TopicPartition(each.topic, each.partition): each.offset for each in positions
        }
        self._owns = owns
        self._follow_until = follow_until
        self._timeout_s = timeout_s
        self._connection = connection
        seen = None
        try:
            seen = check_access(connection)
            self._consumer = topic_consumer(connection, timeout_s)
        except Fatal as error:
            raise ReadError(str(error)) from error
        except KafkaError as error:
            raise ReadError(
                f"no Kafka broker answers at {connection.bootstrap}: {seen or error}"
            ) from error

    def __iter__(self) -> Iterator[Read]:
        return (read for read in self.reads() if read is not None)

    def reads(self, until: Mapping[tuple[str, int], int] | None = None) -> Iterator[Read | None]:
        """As the iteration, with a None after each poll: no more records have arrived so far.

        `until` gives ends that `ends` returned earlier; with `follow_until` there are none.
        """
        try:
            yield from self._records(until)
        except KafkaError as error:
            why = denial(self._connection, error) or error
            raise ReadError(f"reading {', '.join(self._topics)} failed: {why}") from error

    def ends(self) -> dict[tuple[str, int], int]:
        """The offset after the last committed one, by topic (its name on the broker) and partition.

        Moves the reader: do not call it during an iteration.
        """
        try:
            return {(each.topic, each.partition): end for each, end in self._ends().items()}
        except KafkaError as error:
            why = denial(self._connection, error) or error
            raise ReadError(f"ends of {', '.join(self._topics)}: {why}") from error

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _records(self, until: Mapping[tuple[str, int], int] | None) -> Iterator[Read | None]:
        partitions = self._assign()
        if not partitions:
            return
        follow = self._follow_until is not None
        ends: Mapping[TopicPartition, int] = {}
        if not follow and until is None:
            ends = self._ends()
        elif not follow and until is not None:
            ends = {each: until.get((each.topic, each.partition), 0) for each in partitions}
        for partition, begin in self._begins(partitions).items():
            self._consumer.seek(partition, self._start.get(partition, begin))
        self._consumer.resume(*partitions)
        waiting_since = time.monotonic()
        while partitions := self._unfinished(partitions, ends):
            found = self._consumer.poll(timeout_ms=_POLL_MS)
            for partition, messages in found.items():
                for message in messages:
                    if message.offset < ends.get(partition, message.offset + 1):
                        yield self._read(message)
            yield None
            if self._follow_until is not None and self._follow_until.is_set():
                return
            if found or follow:
                waiting_since = time.monotonic()
            elif time.monotonic() - waiting_since > self._timeout_s:
                raise ReadError(_stalled(partitions, self._timeout_s))

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
        return Read(Position(message.topic, message.partition, message.offset), record, headers)


def _stalled(partitions: Sequence[TopicPartition], seconds: float) -> str:
    names = ", ".join(f"{each.topic}/{each.partition}" for each in partitions[:5])
    return f"nothing came from {names} (and perhaps others) for {seconds:g} s before their end"
