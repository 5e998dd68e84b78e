"""Which positions of idle partitions are offered for a commit; test_delivery.py commits them."""

from typing import cast

from kaption.connections.kafka.messages import Partition
from kaption.workers.runtime.idle import IdlePositions
from kaption.workers.runtime.session import Session
from support.fake_session import Clock, FakeBroker, FakeSession

P0, P1 = Partition("topic", 0), Partition("topic", 1)


def test_a_position_is_offered_until_it_is_committed_and_again_when_it_moves() -> None:
    # Given two idle partitions, one of which has no known position yet
    session, clock = FakeSession(FakeBroker()), Clock()
    session.assign(P0, P1)
    session.positions = {P0: 7}
    idle = IdlePositions(cast(Session, session), 1.0, clock)
    # When nobody says that it is committed, then it is offered once a second
    assert idle.moved([P0, P1]) == {P0: (1, 7)}
    assert idle.moved([P0, P1]) == {}
    clock.now += 1.0
    assert idle.moved([P0, P1]) == {P0: (1, 7)}
    # When it is committed, then it is not offered
    idle.committed({P0: (1, 7)})
    clock.now += 1.0
    assert idle.moved([P0, P1]) == {}
    # When it moves, or the partition comes back, then it is offered
    session.positions[P0] = 8
    clock.now += 1.0
    assert idle.moved([P0, P1]) == {P0: (1, 8)}
    idle.committed({P0: (1, 8)})
    session.revoke(P0)
    session.assign(P0)
    session.positions[P0] = 8
    clock.now += 1.0
    assert idle.moved([P0]) == {P0: (3, 8)}
