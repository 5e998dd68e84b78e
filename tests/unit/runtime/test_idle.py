"""Idle positions: committed when they moved, and never overtaken by a transaction."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

from workers.runtime.entry import Partition
from workers.runtime.idle import IdlePositions
from workers.runtime.kafka.session import Session

PARTITION = Partition("topic", 0)


class SlowSession:
    """A group member whose commits are answered when the test says so."""

    def __init__(self) -> None:
        self.at = 7
        self.sent: list[Mapping[Partition, int]] = []
        self.answer: Callable[[Any, Any], None] = lambda offsets, answer: None
        self.ownership = SimpleNamespace(epoch=lambda partition: 1)

    def position(self, partition: Partition) -> int:
        return self.at

    def group_metadata(self) -> object:
        return object()

    def commit_positions(self, positions: Mapping[Partition, int], done: Any) -> None:
        self.sent.append(positions)
        self.answer = done


def make() -> tuple[SlowSession, IdlePositions, list[float]]:
    """The session, what is tested, and its clock."""
    session, now = SlowSession(), [0.0]
    idle = IdlePositions(cast(Session, session), 1.0, 15.0, lambda: now[0], lambda call: call())
    return session, idle, now


def waits(idle: IdlePositions) -> bool:
    """Whether transactions have to wait (a call, because a checker takes properties as fixed)."""
    return idle.under_way


def test_a_commit_is_under_way_until_it_is_answered() -> None:
    # Given an idle partition whose position moved
    session, idle, now = make()
    idle.step([PARTITION])
    assert session.sent == [{PARTITION: 7}]
    # When no answer has come, then transactions have to wait, and nothing is sent again
    now[0] = 5.0
    assert waits(idle)
    idle.step([PARTITION])
    assert len(session.sent) == 1
    # When it has, they need not, and the same position is not committed again
    session.answer({}, None)
    assert not waits(idle)
    idle.step([PARTITION])
    assert len(session.sent) == 1


def test_an_answer_that_never_comes_is_waited_for_so_long() -> None:
    session, idle, now = make()
    idle.step([PARTITION])
    now[0] = 15.0
    assert not waits(idle)
    idle.step([PARTITION])
    assert len(session.sent) == 2


def test_a_refused_commit_is_tried_again() -> None:
    session, idle, now = make()
    idle.step([PARTITION])
    session.answer({}, RuntimeError("rebalance"))
    now[0] = 1.0
    idle.step([PARTITION])
    assert session.sent == [{PARTITION: 7}] * 2
