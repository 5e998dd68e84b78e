"""Finds the messages of one pair in the topics, without reading the topics whole."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from kaption.connections.kafka.partitioner import partition_of
from kaption.connections.kafka.topics import TopicAdmin
from kaption.connections.settings import KafkaConnection
from kaption.consumers import Read, Tombstone, TopicReader
from kaption.schemas import (
    TOPICS,
    CleanPair,
    DeadLetter,
    Position,
    Topic,
    Versioned,
    WireError,
    origin_of,
)
from kaption.schemas.pair import Pair
from kaption.schemas.rejection import RejectedPair
from kaption.schemas.topics import AUDITED, CLEAN, DEAD, RAW

_NOT_KEYED = (DEAD, AUDITED)
"""Topics whose keys are not the pair_id. They have few partitions, and all are read."""
_ORIGINS = 20
"""Origins that are looked up, at most."""


class PairMessage(NamedTuple):
    """A message of the pair: a `Read`, and when it was sent."""

    position: Position
    record: Versioned | WireError
    headers: list[tuple[str, bytes | None]]
    timestamp_ms: int
    """Since 1970-01-01 UTC, by the producer or the broker, as the topic says."""


class PairTraces:
    """The messages of one pair.

    Most topics have the pair_id as key, so one partition of them is enough, and only messages of
    the pair are decoded. Of each partition the newest `most` offsets are read.
    """

    def __init__(
        self, kafka: KafkaConnection, pair_id: str, most: int, *, everywhere: bool = False
    ) -> None:
        """`everywhere`: read all partitions. Keys move when a topic gets more partitions."""
        self._kafka = kafka
        self._pair_id = pair_id
        self._most = most
        self._everywhere = everywhere
        forms = {json.dumps(pair_id, ensure_ascii=escaped) for escaped in (True, False)}
        self._spelled = [form.encode("utf-8", "surrogatepass") for form in forms]
        self._key = pair_id.encode("utf-8", "surrogatepass")
        self._times: dict[tuple[str, int, int], int] = {}
        self.notes: list[str] = []
        """What was not read, in sentences."""

    def find(self) -> list[PairMessage]:
        """All messages of the pair. Raises ReadError, TopicError, Fatal."""
        with TopicAdmin(self._kafka) as admin:
            states = admin.describe(TOPICS)
        counts = {topic: len(state.partitions) for topic, state in zip(TOPICS, states, strict=True)}
        self.notes += [f"there is no topic {it.topic}" for it in states if not it.partitions]
        counts = {topic: count for topic, count in counts.items() if count}
        found = list(self._search(counts))
        raw = RAW.prefixed(self._kafka.topic_prefix).name
        if RAW in counts:
            # Origins may lack the topic's id, so places are compared without it.
            known = {_place(read.position) for read in found}
            origins = {_place(it): it for it in map(_origin, found) if it and it.topic == raw}
            found += self._at([it for place, it in origins.items() if place not in known])
            if not found and not self._everywhere:
                # A crawler in another language may use another key, or another partitioner.
                found = list(self._search({RAW: counts[RAW]}, all_partitions=True))
        return found

    def _search(
        self, counts: Mapping[Topic, int], *, all_partitions: bool = False
    ) -> Iterator[PairMessage]:
        groups: dict[frozenset[int], list[Topic]] = defaultdict(list)
        for topic, count in counts.items():
            one = frozenset({partition_of(self._key, count)})
            whole = all_partitions or self._everywhere or topic in _NOT_KEYED
            groups[frozenset(range(count)) if whole else one].append(topic)
        # Topics of which the same partitions are read share a connection.
        for numbers, topics in groups.items():
            with TopicReader(self._kafka, topics, owns=numbers.__contains__) as reader:
                yield from self._read(reader)

    def _read(self, reader: TopicReader) -> Iterator[PairMessage]:
        ends = reader.ends()
        late = {place: end - self._most for place, end in ends.items() if end > self._most}
        reader.begin_at(Position(*place, offset) for place, offset in late.items())
        if late:
            names = ", ".join(f"{topic}/{partition}" for topic, partition in sorted(late))
            self.notes.append(f"of {names} only the newest {self._most} offsets were read")
        for read in reader.reads(ends, self._may_be):
            if read is not None and self._is(read):
                yield self._timed(read)

    def _at(self, places: Sequence[Position]) -> list[PairMessage]:
        """The messages of pairs.raw at these places, as far as the topic still has them."""
        found = []
        for place in sorted(places, key=_place)[:_ORIGINS]:
            # Without the topic's id: a topic that was made anew is no error here.
            start = [replace(place, topic_id=None)]
            owns = place.partition.__eq__
            with TopicReader(self._kafka, [RAW], start=start, owns=owns) as reader:
                where = place.topic, place.partition
                if place.offset < reader.ends().get(where, 0):
                    reads = filter(None, reader.reads({where: place.offset + 1}, self._note))
                    found += [self._timed(it) for it in reads if it.position.may_be(place)]
        return found

    def _note(self, message: Any) -> bool:
        self._times[message.topic, message.partition, message.offset] = message.timestamp
        return True

    def _timed(self, read: Read) -> PairMessage:
        at = read.position
        return PairMessage(*read, self._times[at.topic, at.partition, at.offset])

    def _may_be(self, message: Any) -> bool:
        return self._is_named(message.key, message.value) and self._note(message)

    def _is_named(self, key: bytes | None, value: bytes | None) -> bool:
        if key == self._key or (key or b"").endswith(b" " + self._key):
            return True
        # A dead letter holds its original as base64, so it has to be decoded to be searched.
        return value is not None and (
            b'"died_at"' in value or any(it in value for it in self._spelled)
        )

    def _is(self, read: Read) -> bool:
        match read.record:
            case Pair(pair_id=name) | RejectedPair(pair_id=name):
                return name == self._pair_id
            case Tombstone(key=name):
                decision = read.position.topic.endswith(AUDITED.name)
                return (name.partition(" ")[2] if decision else name) == self._pair_id
            case DeadLetter(key=key, value=value):
                return key == self._key or any(it in (value or b"") for it in self._spelled)
        return isinstance(read.record, WireError)  # its key is the pair's, or it names the pair


def versions(reads: Sequence[PairMessage]) -> list[tuple[Position, CleanPair]]:
    """The messages of pairs.clean, by offset."""
    clean = [
        (read.position, read.record)
        for read in reads
        if isinstance(read.record, CleanPair) and read.position.topic.endswith(CLEAN.name)
    ]
    return sorted(clean, key=lambda each: each[0])


def _place(position: Position) -> tuple[str, int, int]:
    return position.topic, position.partition, position.offset


def _origin(read: PairMessage) -> Position | None:
    with suppress(WireError):
        return origin_of(read.headers, read.position)
    return None
