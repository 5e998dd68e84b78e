"""What is in a topic as a source: messages that are to go through a stage again."""

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
from kaption.schemas.topics import TOPICS
from kaption.schemas.wire import ORIGIN_HEADER, SCHEMA_HEADER


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages of a topic."""

    topic: Topic
    reasons: tuple[str, ...] = ()
    """Of rejections: their reason; of dead letters: words in their error. Empty: any."""
    stage: str | None = None
    since: datetime | None = None
    """By the broker's time."""

    def takes(self, read: Read) -> bool:
        """Whether a message is one of them; of raw pairs none that is itself a replay."""
        match read.record:
            case RejectedPair() as record:
                reason = not self.reasons or record.reason.value in self.reasons
                return reason and self.stage in (None, record.stage)
            case DeadLetter() as record:
                reason = not self.reasons or any(each in record.error for each in self.reasons)
                return reason and self.stage in (None, record.stage)
        return _origin(read) in (None, read.position)


class Replayed(Source):
    """The selected messages that go to one topic, each as its stage got it first.

    A message keeps its first origin, so that deduplication answers as it did then. The cursor is
    what runs have passed of each partition, so that one with an older `since` finds what is left.
    """

    def __init__(self, location: str, *, kafka: KafkaConnection, selection: Selection) -> None:
        """`location` is the name of the topic to publish to, without prefix."""
        self._target = location
        self._kafka = kafka
        self._selection = selection

    @classmethod
    def recognises(cls, location: str) -> bool:
        """No location: only `kaption replay` makes one."""
        return False

    @property
    def identity(self) -> str:
        """The selection without its age, and where it goes."""
        selection = self._selection
        parts: list[Any] = [selection.topic.name, self._target, selection.reasons, selection.stage]
        return f"replay {json.dumps(parts)}"

    def read(self, after: str | None = None) -> Iterator[Found]:
        """The messages, partition by partition in order of their offsets."""
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
    """Spans [first, end) of offsets that runs have read, by partition.

    Only the newest of each, and the one that the present run is in, for a cursor has little room:
    what was replayed before a gap comes again where a run reaches that far back.
    """

    def __init__(self, cursor: str | None) -> None:
        self._spans: dict[str, list[list[int]]] = json.loads(cursor) if cursor else {}
        self._ends: dict[str, int] = {}

    def add(self, position: Position) -> bool:
        """Note a message; whether no earlier run had passed it."""
        number, offset = str(position.partition), position.offset
        spans = self._spans.setdefault(number, [])
        new = not any(first <= offset < end for first, end in spans)
        # From the message before on: what lies between them holds nothing.
        first = self._ends.get(number, offset)
        self._ends[number] = offset + 1
        united = _united([*spans, [first, offset + 1]])
        self._spans[number] = [s for s in united if s is united[-1] or s[0] <= offset < s[1]]
        return new

    @property
    def cursor(self) -> str:
        return json.dumps(self._spans)


def _united(spans: list[list[int]]) -> list[list[int]]:
    united: list[list[int]] = []
    for first, end in sorted(spans):
        if united and first <= united[-1][1]:
            united[-1][1] = max(united[-1][1], end)
        else:
            united.append([first, end])
    return united


def replayable(read: Read, selection: Selection, prefix: str) -> tuple[str, Message] | None:
    """The topic (without prefix) and the message that a selected one came from.

    None where it is not selected, or does not hold what it came from.
    """
    record, origin = read.record, _origin(read)
    if not isinstance(record, Versioned) or origin is None or not selection.takes(read):
        return None
    if isinstance(record, DeadLetter):
        return _of_letter(record, prefix)
    if isinstance(record, RejectedPair):
        return _of_rejection(record, origin)
    return selection.topic.name, Message(
        encode(record), _key(record), tuple(headers_of(record, origin))
    )


def _of_letter(letter: DeadLetter, prefix: str) -> tuple[str, Message] | None:
    topic = letter.topic.removeprefix(prefix)
    if letter.value is None or topic not in {each.name for each in TOPICS}:
        return None
    headers = [(each.key, each.value or b"") for each in letter.headers]
    if ORIGIN_HEADER not in {name for name, _ in headers}:
        first = Position(letter.topic, letter.partition, letter.offset)
        headers.append((ORIGIN_HEADER, str(first).encode()))
    return topic, Message(letter.value, letter.key, tuple(headers))


def _of_rejection(rejected: RejectedPair, origin: Position) -> tuple[str, Message] | None:
    kind = rejected.record_schema.partition("/")[0]
    topic = next((each.name for each in TOPICS if each.record.__name__ == kind), None)
    if topic is None:
        return None
    headers = (
        (SCHEMA_HEADER, rejected.record_schema.encode()),
        (ORIGIN_HEADER, str(origin).encode()),
    )
    value = json.dumps(rejected.record, ensure_ascii=False, separators=(",", ":")).encode()
    return topic, Message(value, rejected.pair_id.encode(), headers)


def _origin(read: Read) -> Position | None:
    """Where the message first entered; none where its header is no position."""
    try:
        return origin_of(read.headers, read.position)
    except WireError:
        return None


def _key(record: Versioned) -> bytes | None:
    pair_id = getattr(record, "pair_id", None)
    return pair_id.encode() if isinstance(pair_id, str) else None
