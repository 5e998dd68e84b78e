"""Records of topics in order, once, for those who look rather than work: no consumer group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from kaption.connections.errors import Fatal
from kaption.connections.kafka.access import check_access, denial
from kaption.connections.settings import KafkaConnection
from kaption.consumers.stream import Stop
from kaption.schemas import MalformedRecordError, Position, Topic, Versioned, WireError, decode

_POLL_MS = 500
# More than a fetch can hold, so that a poll returns every batch it fetched whole.
_ALL = 1_000_000


class ReadError(Exception):
    """Topics cannot be read; the message says which and what to do."""


class Tombstone(MalformedRecordError):
    """A message without a value: what was sent under its key before is withdrawn."""

    def __init__(self, key: bytes | None) -> None:
        self.key = (key or b"").decode(errors="replace")
        super().__init__(f"empty message (tombstone) for {self.key[:100]!r}")


class Read(NamedTuple):
    """One message: where it is, what it holds (or why it cannot be told: `Tombstone` where it is
    empty), and its headers."""

    position: Position
    """The topic's name is as on the broker, with the prefix."""
    record: Versioned | WireError
    headers: list[tuple[str, bytes | None]]


class TopicReader:
    """Iterates over the committed records of topics; each partition in offset order.

    `topics` are as in `schemas.TOPICS`, without the prefix; of their partitions those are read
    whose number `owns` accepts. Reading begins at the log's start, or at the first message that is
    not older than `since`; in the partitions of `start` at the positions given there. It ends at
    the present end (taken when the iteration begins), or when `follow_until` is set. Each
    iteration begins anew.

    Raises ReadError: no broker, no such topic, or nothing to be had for `timeout_s` before the
    end. A context manager; otherwise call `close`.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Sequence[Topic],
        *,
        start: Iterable[Position] = (),
        since: datetime | None = None,
        owns: Callable[[int], bool] | None = None,
        follow_until: Stop | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self._topics = {each.prefixed(connection.topic_prefix).name: each for each in topics}
        self._start = {TopicPartition(each.topic, each.partition): each.offset for each in start}
        self._since = since
        self._owns = owns
        self._follow_until = follow_until
        self._timeout_s = timeout_s
        self._connection = connection
        seen = None
        try:
            seen = check_access(connection)
            self._consumer = KafkaConsumer(
                **connection.client_config(),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=int(timeout_s * 1000),
                max_poll_records=_ALL,
            )
        except Fatal as error:
            raise ReadError(str(error)) from error
        except KafkaError as error:
            raise ReadError(
                f"no Kafka broker answers at {connection.bootstrap}: {seen or error}"
            ) from error

    def __iter__(self) -> Iterator[Read]:
        return (read for read in self.reads() if read is not None)

    def reads(self, until: Mapping[tuple[str, int], int] | None = None) -> Iterator[Read | None]:
        """As the iteration, with None after each poll: no more is at hand.

        `until` gives the ends as `ends` does, taken earlier; with `follow_until` there are none.
        """
        try:
            yield from self._records(until)
        except KafkaError as error:
            why = denial(self._connection, error) or error
            raise ReadError(f"reading {', '.join(self._topics)} failed: {why}") from error

    def ends(self) -> dict[tuple[str, int], int]:
        """The offset after the last committed one, for each topic (as on the broker) and partition.

        Moves the reader: not to be called during an iteration.
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
        # None: all that is there is older.
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
        """The present end of each partition, seen by fetching what comes last.

        The broker's word alone would do on Apache Kafka; Tansu tells the first offset of the last
        batch plus one. A fetch from there brings that batch, always whole.
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
            self._consumer.poll(timeout_ms=_POLL_MS, max_records=_ALL)
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
