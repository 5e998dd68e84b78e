"""When a partition without an error is called unreadable: it was asked, for long, and gave none."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import pytest

from kaption.connections.errors import Fatal
from kaption.connections.kafka.messages import Partition
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.unreadable import UnreadablePlaces
from support.engine import POLICY
from support.fake_session import P0, Clock, FakeBroker, FakeSession

LIMIT_S = 400.0
PATIENCE_S = 60
PAUSE_S = 10
TUNED = POLICY.model_copy(update={"rebuild_limit_s": LIMIT_S, "retry_max_s": float(PAUSE_S)})


class Looks:
    """A partition whose one record the broker does not give, and what looks at it."""

    def __init__(self) -> None:
        self.clock = Clock()
        broker = FakeBroker()
        broker.produce(P0, ["text"])
        self.session = FakeSession(broker)
        self.session.assign(P0)
        self.places = UnreadablePlaces("toy", TUNED, self.clock)

    def look(self, seconds: int, paused: Collection[Partition] = (), each_s: float = 1.0) -> None:
        """Look once in `each_s` seconds, for so many seconds."""
        for _ in range(round(seconds / each_s)):
            self.clock.now += each_s
            self.places.look(cast(Session, self.session), {*paused, *self.places.waiting()})

    @property
    def told(self) -> bool:
        return self.places.problem([P0]) is not None


@pytest.fixture
def looks() -> Looks:
    return Looks()


def test_a_partition_that_is_asked_and_gives_nothing_is_told(looks: Looks) -> None:
    looks.look(PATIENCE_S)
    assert not looks.told
    looks.look(2)
    assert looks.told


def test_time_in_which_the_process_was_frozen_does_not_count(looks: Looks) -> None:
    looks.look(5)
    looks.look(3600, each_s=3600)
    assert not looks.told
    # Also where the machine has no time for it again and again.
    looks.look(3600, each_s=180)
    assert not looks.told


def test_time_in_which_the_worker_joins_its_group_does_not_count(looks: Looks) -> None:
    looks.session.joining = True
    looks.look(2 * PATIENCE_S)
    assert not looks.told


def test_a_partition_that_is_assigned_again_has_its_time_anew(looks: Looks) -> None:
    looks.look(PATIENCE_S - 5)
    looks.session.revoke(P0)
    looks.session.assign(P0)
    looks.look(PATIENCE_S - 5)
    assert not looks.told


def test_a_partition_that_is_told_is_asked_again_before_that_counts(looks: Looks) -> None:
    # Given a partition that is told, and a worker that asks it again and again in vain
    looks.look(PATIENCE_S + 2)
    waits = []

    def goes_on() -> None:
        for _ in range(2 * round(LIMIT_S)):
            waits.append(P0 in looks.places.waiting())
            looks.look(1)

    with pytest.raises(Fatal, match="the broker gives nothing"):
        goes_on()
    # Then it had as much time to answer as it was left alone
    assert waits.count(False) >= waits.count(True) > LIMIT_S / 4


def test_a_partition_that_gives_its_records_after_all_is_told_no_more(looks: Looks) -> None:
    looks.look(PATIENCE_S + 2)
    looks.session.positions[P0] = 1
    looks.look(1)
    assert not looks.told
