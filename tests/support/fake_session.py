"""A session and a broker in memory, for tests of the engine. A test chooses what goes wrong."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from kafka import TopicPartition
from kafka.errors import KafkaConnectionError, KafkaError

from kaption.connections.kafka.messages import Outgoing, Partition
from kaption.connections.kafka.transaction import Committed, Opened, Refused, Result, Unknown
from kaption.schemas.topics import RAW
from kaption.schemas.wire import encode
from kaption.testing.records import raw_pair
from kaption.workers.runtime.rebalance import Ownership
from support.entries import Consumed

STALE = KafkaError("stale generation")

P0, P1 = Partition(RAW.name, 0), Partition(RAW.name, 1)
"""Partitions that a session may be given."""


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one transaction."""

    carried_out: bool = False
    """Whether the broker commits it all the same."""
    answer: Result | None = None
    """What the producer reports; None: it never answers."""


def refused(error: Exception | None = None, too_large: Sequence[int] = ()) -> Fault:
    """The broker does not take the messages."""
    return Fault(answer=Refused(error or KafkaConnectionError("refused"), too_large))


def lost(*, carried_out: bool) -> Fault:
    """The connection breaks while the transaction ends."""
    return Fault(carried_out, Unknown(KafkaConnectionError("connection lost")))


def silent(*, carried_out: bool) -> Fault:
    """The call never returns."""
    return Fault(carried_out)


class Sent(NamedTuple):
    """A message in an output topic."""

    topic: str
    key: bytes
    value: bytes


class FakeBroker:
    """The input's messages, what is committed, and the faults to come."""

    def __init__(self) -> None:
        self.log: dict[Partition, list[Consumed]] = {}
        self.committed: dict[Partition, int] = {}
        self.messages: list[Sent] = []
        """Messages of committed transactions."""
        self.tried: list[dict[Partition, int]] = []
        """The offsets of every transaction that was sent."""
        self.generation = 1
        self.faults: deque[Fault] = deque()
        """One for each transaction to come; with none left a transaction is committed."""
        self.openings: deque[Result | None] = deque()
        """Instead of Opened, for each producer to come; None: it never opens."""

    def produce(self, partition: Partition, texts: Iterable[str | bytes]) -> None:
        """One record for each text; bytes go as they are."""
        log = self.log.setdefault(partition, [])
        for text in texts:
            value, key = text, f"{partition.partition}/{len(log)}"
            if isinstance(text, str):
                value = encode(raw_pair(pair_id=key, text=text))
            assert isinstance(value, bytes)
            log.append(
                Consumed(partition.topic, partition.partition, len(log), value, key.encode())
            )

    def outcomes(self) -> dict[str, Counter[str]]:
        """By topic, how often each record has a committed outcome there."""
        found: dict[str, Counter[str]] = {}
        for message in self.messages:
            found.setdefault(message.topic, Counter())[message.key.decode()] += 1
        return found

    def commit(
        self, messages: Sequence[Outgoing], offsets: Mapping[Partition, int], generation: int
    ) -> Result | None:
        self.tried.append(dict(offsets))
        fault = self.faults.popleft() if self.faults else None
        if fault is None and generation != self.generation:
            return Refused(STALE)
        if fault is None or fault.carried_out:
            self.messages += [
                Sent(one.topic, one.message.key or b"", one.message.value or b"")
                for one in messages
            ]
            self.committed |= offsets
        return Committed() if fault is None else fault.answer


class FakeProducer:
    """In place of a TransactionThread: it answers inside the call."""

    def __init__(self, broker: FakeBroker, done: Callable[[Any, Result], None]) -> None:
        self._broker = broker
        self._done = done
        self.left_behind = False

    def open(self, partitions: Collection[Partition]) -> None:
        broker = self._broker
        opened = Opened({each: broker.committed.get(each) for each in partitions})
        self.report(broker.openings.popleft() if broker.openings else opened)

    def commit(
        self,
        messages: Sequence[Outgoing],
        offsets: Mapping[Partition, int],
        group: int,
        metadata: Mapping[str, str],
    ) -> None:
        self.report(self._broker.commit(messages, offsets, group))

    def report(self, result: Result | None) -> None:
        if result is not None:
            self._done(self, result)


class FakeTopicIds:
    """Of a broker that tells none."""

    known: Mapping[str, str] = MappingProxyType({})

    def check(self, topics: Collection[str], *, patient: bool = True) -> None:
        pass

    def of(self, topic: str) -> str | None:
        return self.known.get(topic)


class FakeSession:
    """In place of `Session`: the only member of its group unless a test takes partitions away."""

    errors = KafkaError

    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self.topic_ids = FakeTopicIds()
        self.ownership = Ownership(lambda partitions: None)
        self.positions: dict[Partition, int] = {}
        self.paused: frozenset[Partition] = frozenset()
        self.member = True
        self.joining = False
        self.unreadable: str | None = None
        self.polls = 0
        self.failing: Callable[[], object] = lambda: None
        """Called in each poll; may raise or wait."""
        self.producers: list[FakeProducer] = []
        self.replaced = 0
        self.closed = False

    def assign(self, *partitions: Partition) -> None:
        """Give partitions to this member."""
        self.ownership.assigned([TopicPartition(*each) for each in partitions])
        for each in partitions:
            self.positions[each] = self.broker.committed.get(each, 0)

    def revoke(self, *partitions: Partition) -> None:
        """Give partitions to another member, in a new generation."""
        self.broker.generation += 1
        self.ownership.revoked([TopicPartition(*each) for each in partitions])

    def poll(self, timeout_s: float, max_records: int) -> Mapping[Partition, Sequence[Consumed]]:
        self.polls += 1
        self.failing()
        found: dict[Partition, Sequence[Consumed]] = {}
        for partition in sorted(self.ownership.owned - self.paused):
            start = self.positions[partition]
            records = self.broker.log.get(partition, [])[start : start + max_records]
            max_records -= len(records)
            self.positions[partition] += len(records)
            if records:
                found[partition] = records
        if not found:
            time.sleep(min(timeout_s, 0.001))
        return found

    def unreadable_topics(self) -> str | None:
        return self.unreadable

    def pause_only(self, wanted: Collection[Partition]) -> None:
        self.paused = frozenset(wanted)

    def seek(self, partition: Partition, offset: int) -> None:
        self.positions[partition] = offset

    def group_metadata(self) -> int | None:
        return self.broker.generation if self.member else None

    def open_producer(
        self, partitions: Collection[Partition], done: Callable[[Any, Result], None]
    ) -> FakeProducer:
        self.abandon_producer()
        self.producers.append(FakeProducer(self.broker, done))
        self.producers[-1].open(partitions)
        return self.producers[-1]

    def abandon_producer(self) -> None:
        if self.producers:
            self.producers[-1].left_behind = True

    def committed(
        self, partitions: Collection[Partition], timeout_s: float
    ) -> dict[Partition, int | None]:
        return {each: self.broker.committed.get(each) for each in partitions}

    def log_start(self, partition: Partition, timeout_s: float) -> int:
        return 0

    def written_at(self, partition: Partition, offset: int) -> float | None:
        return None

    def position(self, partition: Partition) -> int | None:
        return self.positions.get(partition)

    def lag(self) -> dict[Partition, int]:
        owned = self.ownership.owned
        return {each: len(self.broker.log.get(each, [])) - self.positions[each] for each in owned}

    @property
    def caught_up(self) -> bool:
        return not any(self.lag().values())

    def told(self, error: BaseException) -> str:
        return repr(error)

    def replace_consumer(self) -> None:
        self.replaced += 1
        owned = self.ownership.owned
        self.ownership.revoked(self.ownership.owned)
        self.assign(*owned)

    def close(self, timeout_s: float) -> None:
        self.closed = True
