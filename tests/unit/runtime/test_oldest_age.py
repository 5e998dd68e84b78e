"""The age of the oldest record of each partition, as Prometheus sees it."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from kaption.connections.kafka.messages import Partition
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.progress import Progress

P0, P1 = Partition("pairs.raw", 0), Partition("pairs.raw", 1)


class Session:
    """What Progress asks of a session."""

    def __init__(self, lags: dict[Partition, int]) -> None:
        self.lags = lags
        self.ownership = SimpleNamespace(owned=set(lags))

    def lag(self) -> dict[Partition, int]:
        return self.lags

    def position(self, _: Partition) -> int:
        return 0


def entry(partition: Partition, age_s: float) -> Entry:
    raw: Any = SimpleNamespace(timestamp=int((time.time() - age_s) * 1000), value=b"", key=None)
    return Entry(raw, partition, 0, 0)


def age(stage: str, partition: Partition) -> float | None:
    labels = {"stage": stage, "topic": partition.topic, "partition": str(partition.partition)}
    return REGISTRY.get_sample_value("kaption_oldest_record_age_seconds", labels)


@pytest.fixture
def progress(request: pytest.FixtureRequest) -> Progress:
    return Progress(request.node.name)


def test_the_oldest_held_record_of_each_partition_counts(progress: Progress) -> None:
    progress.held.add([entry(P0, 500), entry(P0, 20)])
    progress.held.add([entry(P1, 7)])
    progress.show(Session({P0: 3, P1: 0}), 0)  # type: ignore[arg-type]  # a part of one

    assert age(progress.stage, P0) == pytest.approx(500, abs=5)
    assert age(progress.stage, P1) == pytest.approx(7, abs=5)


def test_it_falls_when_the_record_is_committed_and_is_0_when_none_waits(progress: Progress) -> None:
    first, second = entry(P0, 500), entry(P0, 20)
    session: Any = Session({P0: 0})
    progress.held.add([first, second])
    progress.held.release([first])
    progress.show(session, 0)
    # No record waits longer than since the one before it was written.
    assert age(progress.stage, P0) == pytest.approx(500, abs=5)
    progress.held.release([second])
    progress.show(session, 2)
    assert age(progress.stage, P0) == 0
    # A record that comes days later is not as old as the one before it.
    progress.held.add([entry(P0, 1)])
    progress.show(session, 4)
    assert age(progress.stage, P0) == pytest.approx(1, abs=5)


def test_it_rises_where_records_wait_that_the_broker_does_not_give(progress: Progress) -> None:
    session: Any = Session({P0: 9})
    done = entry(P0, 300)
    progress.held.add([done])
    progress.held.release([done])
    progress.show(session, 0)
    assert age(progress.stage, P0) == pytest.approx(300, abs=5)


@pytest.fixture
def standing(progress: Progress, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Any]:
    """A partition whose first record the broker does not give. Lets seconds pass; what then is."""
    now = time.time()
    session: Any = Session({P0: 1})
    monkeypatch.setattr(time, "time", lambda: now)

    def passing(seconds: float) -> Any:
        nonlocal now
        now += seconds
        progress.show(session, now)
        return session

    passing(0)
    return passing


def test_no_age_is_shown_before_it_is_known_that_the_broker_does_not_tell_it(
    progress: Progress, standing: Callable[[float], Any]
) -> None:
    # Given a partition whose first record is in a transaction that hangs
    assert age(progress.stage, P0) is None
    # When nobody tells how old it is
    standing(600)
    # Then it is as old as this worker knows it
    assert age(progress.stage, P0) == 600
    # And as the record is as soon as the broker gives it, and 0 when none waits
    progress.held.add([entry(P0, 900)])
    session = standing(1)
    assert age(progress.stage, P0) == pytest.approx(901, abs=5)
    progress.held.release([entry(P0, 900)])
    session.lags = {P0: 0}
    standing(1)
    assert age(progress.stage, P0) == 0


def test_the_broker_tells_how_old_a_record_is_that_it_does_not_give(
    progress: Progress, standing: Callable[[float], Any]
) -> None:
    # Given a partition that stands, of which the broker is not asked at once
    assert not progress.ages.undated()
    standing(20)
    ((partition, unread),) = progress.ages.undated()
    assert (partition, unread.position) == (P0, 0)
    # When it is asked, and tells
    assert not progress.ages.undated()
    unread.written = time.time() - 5000
    standing(10)
    assert age(progress.stage, P0) == pytest.approx(5010)
    # Then it is not asked once more
    standing(3600)
    assert not progress.ages.undated()


def test_the_broker_is_asked_once_a_minute_also_where_records_come_slowly(
    progress: Progress, standing: Callable[[float], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    for position in range(30):
        monkeypatch.setattr(Session, "position", lambda *_, at=position: at)
        for _ in range(4):
            standing(5)
            asked += len(progress.ages.undated())
    assert 5 <= asked <= 10


def test_a_lost_partition_is_shown_no_more(progress: Progress) -> None:
    progress.held.add([entry(P0, 500)])
    progress.show(Session({P0: 1}), 0)  # type: ignore[arg-type]  # a part of one
    progress.show(Session({P1: 0}), 2)  # type: ignore[arg-type]  # a part of one

    assert age(progress.stage, P0) is None
    assert age(progress.stage, P1) == 0
