"""Replays messages of a topic: a source of records that go through a stage once more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kaption.connections.kafka.messages import Message
from kaption.connections.settings import KafkaConnection
from kaption.consumers import Read, TopicReader
from kaption.producers.sources import Found, Source
from kaption.schemas import (
    DeadLetter,
    Position,
    RejectedPair,
    Topic,
    Versioned,
    WireError,
    encode,
    headers_of,
    origin_of,
)
from kaption.schemas.record import differ
from kaption.schemas.topics import TOPICS, topic_of
from kaption.schemas.wire import (
    ORIGIN_HEADER,
    SCHEMA_HEADER,
    TRACE_HEADER,
    UNREADABLE_HEADER,
    header,
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects messages of one topic."""

    topic: Topic
    reasons: tuple[str, ...] = ()
    """For rejections their reasons, for dead letters words in their errors. Empty selects all."""
    stage: str | None = None
    """Only rejections and dead letters of this stage."""
    since: datetime | None = None
    """Only messages that the broker got at this time or later."""

    def takes(self, read: Read) -> bool:
        """Whether the selection contains a message. It never contains a replayed raw pair."""
        match read.record:
            case RejectedPair() as record:
                reason = not self.reasons or record.reason.value in self.reasons
                return reason and self.stage in (None, record.stage)
            case DeadLetter() as record:
                reason = not self.reasons or any(each in record.error for each in self.reasons)
                return reason and self.stage in (None, record.stage)
        return _origin(read) in (None, read.position)


class Replayed(Source):
    """The selected messages that go back to one topic, each as its stage first got it.

    A message keeps its origin, so deduplication gives the same answer as before. The cursor holds
    the offsets that earlier runs have read: a run with an earlier `since` replays only the rest.
    They count for the same topic only, and not for another that was created under its name since.
    """

    def __init__(self, location: str, *, kafka: KafkaConnection, selection: Selection) -> None:
        """`location` is the topic to publish to, without the topic prefix."""
        self._target = location
        self._kafka = kafka
        self._selection = selection

    @classmethod
    def recognises(cls, location: str) -> bool:
        """False: only `kaption replay` makes this source."""
        return False

    @property
    def identity(self) -> str:
        """The selection without `since`, and the topic to publish to."""
        selection = self._selection
        parts: list[Any] = [selection.topic.name, self._target, selection.reasons, selection.stage]
        return f"replay {json.dumps(parts)}"

    def read(self, after: str | None = None) -> Iterator[Found]:
        """The messages in the order of their offsets within each partition.

        Messages that `after` covers are left out.
        """
        selection = self._selection
        passed = _Passed(after)
        with TopicReader(self._kafka, [selection.topic], start=selection.since or ()) as reader:
            for read in reader:
                if not passed.add(read.position):
                    continue
                found = replayable(read, selection, self._kafka.topic_prefix)
                if found is not None and found[0] == self._target:
                    yield Found(found[1], passed.cursor)


class _Passed:
    """Spans [first, end) of offsets that earlier runs and this run have read, by partition.

    A cursor has little room, so each partition keeps two spans at most: the newest one and the one
    that this run is reading. Offsets before a gap are forgotten, and a run that reaches back to
    them replays them again.
    """

    def __init__(self, cursor: str | None) -> None:
        saved = json.loads(cursor) if cursor else {}
        self._topic_id: str | None = saved.pop("topic_id", None)
        self._spans: dict[str, list[list[int]]] = saved
        self._ends: dict[str, int] = {}

    def add(self, position: Position) -> bool:
        """Record that a message was read. Returns whether no earlier run has read it."""
        if differ(self._topic_id, position.topic_id):
            self._spans.clear()  # offsets of a topic that was deleted and created again
        self._topic_id = position.topic_id or self._topic_id
        number, offset = str(position.partition), position.offset
        spans = self._spans.setdefault(number, [])
        new = not any(first <= offset < end for first, end in spans)
        # The span starts at the end of the message before: the offsets between hold no message.
        first = self._ends.get(number, offset)
        self._ends[number] = offset + 1
        united = _united([*spans, [first, offset + 1]])
        self._spans[number] = [s for s in united if s is united[-1] or s[0] <= offset < s[1]]
        return new

    @property
    def cursor(self) -> str:
        return json.dumps(({"topic_id": self._topic_id} if self._topic_id else {}) | self._spans)


def _united(spans: list[list[int]]) -> list[list[int]]:
    united: list[list[int]] = []
    for first, end in sorted(spans):
        if united and first <= united[-1][1]:
            united[-1][1] = max(united[-1][1], end)
        else:
            united.append([first, end])
    return united


def replayable(read: Read, selection: Selection, prefix: str) -> tuple[str, Message] | None:
    """The topic (without prefix) to replay a message to, and the message to publish there.

    None if the message is not selected, or does not hold the original record.
    """
    record, origin = read.record, _origin(read)
    if not isinstance(record, Versioned) or origin is None or not selection.takes(read):
        return None
    if isinstance(record, DeadLetter):
        return _of_letter(record, prefix)
    if isinstance(record, RejectedPair):
        return _of_rejection(record, origin, read)
    headers = headers_of(record, origin, header(read.headers, TRACE_HEADER))
    return selection.topic.name, Message(encode(record), _key(record), tuple(headers))


def _of_letter(letter: DeadLetter, prefix: str) -> tuple[str, Message] | None:
    topic = letter.topic.removeprefix(prefix)
    if letter.value is None or topic not in {each.name for each in TOPICS}:
        return None
    headers = [(each.key, each.value or b"") for each in letter.headers]
    names = {name for name, _ in headers}
    if UNREADABLE_HEADER in names:
        return None
    if ORIGIN_HEADER not in names:
        headers.append((ORIGIN_HEADER, str(letter.position).encode()))
    return topic, Message(letter.value, letter.key, tuple(headers))


def _of_rejection(
    rejected: RejectedPair, origin: Position, read: Read
) -> tuple[str, Message] | None:
    topic = topic_of(rejected.record_schema)
    if topic is None:
        return None
    headers = [
        (SCHEMA_HEADER, rejected.record_schema.encode()),
        (ORIGIN_HEADER, str(origin).encode()),
    ]
    # The record goes on in its trace, below the span that rejected it.
    if (trace := header(read.headers, TRACE_HEADER)) is not None:
        headers.append((TRACE_HEADER, trace.encode()))
    value = json.dumps(rejected.record, ensure_ascii=False, separators=(",", ":")).encode()
    return topic.name, Message(value, rejected.pair_id.encode(), tuple(headers))


def _origin(read: Read) -> Position | None:
    """The message's origin, or None if its header cannot be read."""
    try:
        return origin_of(read.headers, read.position)
    except WireError:
        return None


def _key(record: Versioned) -> bytes | None:
    pair_id = getattr(record, "pair_id", None)
    return pair_id.encode() if isinstance(pair_id, str) else None
