"""Idle positions: which are committed, and that a transaction never meets one on its way."""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from kaption.connections.kafka.messages import Outgoing, Partition
from kaption.connections.kafka.transaction import Committed, Opened, Refused, Result
from kaption.schemas import ImageSource, RawPair
from kaption.schemas.topics import RAW
from kaption.workers.runtime.dead_letter_rate import DeadLetterRate
from kaption.workers.runtime.delivery import Delivery
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.idle import IdlePositions, Reached
from kaption.workers.runtime.outputs import Outputs
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Emit
from support.engine import POLICY, Toy

PARTITIONS = (Partition("topic", 0), Partition("topic", 1))


class Member:
    """A session whose producer answers when the test says so."""

    def __init__(self) -> None:
        self.at: dict[Partition, int | None] = dict.fromkeys(PARTITIONS, 7)
        self.epochs = dict.fromkeys(PARTITIONS, 1)
        self.commits: list[Mapping[Partition, int]] = []
        self.answer: Callable[[Result], None] = lambda result: None
        self.ownership = SimpleNamespace(
            owned=frozenset(PARTITIONS),
            epoch=self.epochs.__getitem__,
            holds=lambda entry: self.epochs[entry.partition] == entry.epoch,
        )

    def position(self, partition: Partition) -> int | None:
        return self.at[partition]

    def group_metadata(self) -> object:
        return object()

    def open_producer(self, partitions: object, done: Callable[[Any, Result], None]) -> Any:
        self.answer = lambda result: done(self, result)
        return self

    def abandon_producer(self) -> None:
        pass

    def commit(
        self, messages: Sequence[Outgoing], offsets: Mapping[Partition, int], group: object
    ) -> None:
        self.commits.append(offsets)


def delivery(member: Member, reached: Callable[[Reached], None]) -> Delivery:
    """One whose producer is open."""
    outputs = Outputs(Toy(), "", lambda: datetime.now(UTC), random.Random(0))
    made = Delivery(
        "toy",
        cast(Session, member),
        outputs,
        DeadLetterRate(POLICY, lambda: 0.0),
        POLICY,
        lambda: 0.0,
        lambda call: call(),
        lambda entries, committed: None,
        reached,
    )
    made.step()
    member.answer(Opened({}))
    return made


def entry(offset: int) -> Entry:
    raw: Any = SimpleNamespace(topic="topic", partition=0, offset=offset, value=b"", key=None)
    pair = RawPair(pair_id="a", text="a", image=ImageSource(url="http://a/"))
    return Entry(raw, PARTITIONS[0], 1, 0, ready=True, outcome=Emit(((RAW, pair),)))


def test_a_position_is_committed_when_it_moved() -> None:
    member, now = Member(), [0.0]
    member.at[PARTITIONS[1]] = None  # not known yet
    idle = IdlePositions(cast(Session, member), 1.0, lambda: now[0])
    # Until it is known to be committed it is tried again, now and then
    assert idle.moved(PARTITIONS) == {PARTITIONS[0]: (1, 7)}
    assert idle.moved(PARTITIONS) == {}
    now[0] = 1.0
    assert idle.moved(PARTITIONS) == {PARTITIONS[0]: (1, 7)}
    # then only when it moves, or the partition comes back
    idle.committed({PARTITIONS[0]: (1, 7)})
    now[0] = 2.0
    assert idle.moved(PARTITIONS) == {}
    now[0], member.epochs[PARTITIONS[0]] = 3.0, 2
    assert idle.moved(PARTITIONS) == {PARTITIONS[0]: (2, 7)}


def test_a_batch_waits_for_the_positions_before_it() -> None:
    # Given positions on their way
    member, reached = Member(), list[Reached]()
    made = delivery(member, reached.append)
    before = made.free
    made.commit_positions({PARTITIONS[0]: (1, 7)})
    assert (before, made.free) == (True, False)
    # When a batch is finished, then it is sent after their answer, and not before
    made.add([entry(7)])
    made.step()
    assert member.commits == [{PARTITIONS[0]: 7}]
    member.answer(Committed())
    made.step()
    assert member.commits == [{PARTITIONS[0]: 7}, {PARTITIONS[0]: 8}]
    # and positions are told when they are committed, once
    member.answer(Committed())
    assert [each for each in reached if each] == [{PARTITIONS[0]: (1, 7)}]


def test_positions_of_what_is_no_longer_ours_are_not_committed() -> None:
    member, reached = Member(), list[Reached]()
    made = delivery(member, reached.append)
    # Given a partition that went away and came back since it was looked at
    member.epochs[PARTITIONS[0]] = 3
    made.commit_positions({PARTITIONS[0]: (1, 7), PARTITIONS[1]: (1, 9)})
    assert member.commits == [{PARTITIONS[1]: 9}]
    # When the broker refuses the rest, then nothing is taken for committed
    member.answer(Refused(RuntimeError("a rebalance")))
    assert not any(reached)
    assert made.idle
