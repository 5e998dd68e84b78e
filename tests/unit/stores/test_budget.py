"""The daily budget of captioners in a real Redis: reserved, settled, shared, over at midnight."""

from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
import redis

from kaption.connections.errors import Retry
from kaption.workers.stores.budget import DailyBudget

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def budget(url: str, clock: Clock, **limits: float) -> DailyBudget:
    return DailyBudget(redis.Redis.from_url(url), "t:", limits, clock)


def spend(of: DailyBudget, images: int, each: float, name: str = "big", unit: str = "cost") -> int:
    """Reserve a batch and settle it at `each` for an image. Returns how many were allowed."""
    grant = of.reserve(name, images)
    of.settle(grant, grant.images, {unit: each * grant.images})
    of.flush()
    return grant.images


@pytest.mark.parametrize("unit", ["cost", "tokens", "model_seconds"])
def test_a_budget_ends_in_the_middle_of_a_batch(redis_url: str, clock: Clock, unit: str) -> None:
    made = budget(redis_url, clock, **{unit: 10})

    allowed = [spend(made, 4, 1, unit=unit) for _ in range(4)]

    assert allowed == [4, 4, 2, 0]
    assert made.today()[unit] == 10
    assert made.used_up()


def test_the_next_day_begins_anew(redis_url: str, clock: Clock) -> None:
    made = budget(redis_url, clock, cost=3)
    assert [spend(made, 3, 1), spend(made, 3, 1)] == [3, 0]

    clock.now = datetime(2026, 3, 2, tzinfo=UTC)

    assert not made.used_up()
    assert made.today()["cost"] == 0
    assert spend(made, 3, 1) == 3


def test_what_one_replica_reserved_another_one_cannot_spend(redis_url: str, clock: Clock) -> None:
    one, other = (budget(redis_url, clock, cost=10) for _ in range(2))
    spend(one, 4, 1)

    mine, theirs = one.reserve("big", 4), other.reserve("big", 4)

    assert (mine.images, theirs.images) == (4, 2)
    # A batch that failed gives its part back.
    one.settle(mine, 0, {})
    one.flush()
    assert other.reserve("big", 4).images == 4


def test_replicas_at_once_stay_within_the_budget(redis_url: str, clock: Clock) -> None:
    spend(budget(redis_url, clock, cost=100), 1, 1)

    def work() -> None:
        mine = budget(redis_url, clock, cost=100)
        while spend(mine, 7, 1):
            pass

    threads = [Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert budget(redis_url, clock, cost=100).today()["cost"] == pytest.approx(100)


def test_the_first_limit_that_is_reached_holds(redis_url: str, clock: Clock) -> None:
    made = budget(redis_url, clock, cost=100, tokens=1000)
    grant = made.reserve("big", 2)
    made.settle(grant, 2, {"cost": 2, "tokens": 1000, "model_seconds": 1.5})

    assert made.reserve("big", 1).images == 0
    assert made.today() == {"cost": 2, "tokens": 1000, "model_seconds": 1.5, "used_up": 1}


def test_a_batch_is_expected_to_cost_what_its_captioner_did(redis_url: str, clock: Clock) -> None:
    made = budget(redis_url, clock, cost=10)
    spend(made, 100, 0.01, "small")
    spend(made, 1, 3, "big")

    assert made.reserve("small", 100).images == 100
    assert made.reserve("big", 9).images == 2  # 10 less 4 less 1 that is reserved, at 3 each


def test_more_than_the_budget_is_spent_by_what_a_batch_takes_above_the_mean(
    redis_url: str, clock: Clock
) -> None:
    made = budget(redis_url, clock, cost=1)

    assert [spend(made, 4, 1), spend(made, 4, 1)] == [4, 0]
    assert made.today()["cost"] == 4


def test_the_day_of_a_batch_is_that_of_its_beginning(redis_url: str, clock: Clock) -> None:
    made = budget(redis_url, clock, cost=10)
    grant = made.reserve("big", 1)

    clock.now += timedelta(hours=13)
    made.settle(grant, 1, {"cost": 7})
    made.flush()

    assert made.today()["cost"] == 0
    clock.now -= timedelta(hours=13)
    assert made.today()["cost"] == 7


def test_a_day_expires(redis_url: str, clock: Clock) -> None:
    spend(budget(redis_url, clock, cost=10), 1, 1)

    client = redis.Redis.from_url(redis_url)
    (key,) = client.scan_iter("t:budget:*")
    assert key == b"t:budget:2026-03-01"
    assert 24 * 3600 < client.ttl(key) <= 48 * 3600


def test_what_was_spent_while_redis_was_away_is_counted_once_it_is_back(
    redis_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = budget(redis_url, clock, cost=10)
    grant = made.reserve("big", 2)
    made.settle(grant, 2, {"cost": 5})

    def away(*_: object) -> None:
        raise redis.ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(made, "_settle", away)
        with pytest.raises(Retry):
            made.flush()
        with pytest.raises(Retry):
            made.reserve("big", 1)

    assert made.reserve("big", 9).images == 2
    assert made.today()["cost"] == 5


def test_a_command_that_is_sent_again_changes_nothing(redis_url: str, clock: Clock) -> None:
    made = budget(redis_url, clock, cost=10)
    spend(made, 1, 1)
    grant = made.reserve("big", 2)
    made.settle(grant, 2, {"cost": 2})
    made.settle(grant, 2, {"cost": 2})
    made.flush()

    assert made.today()["cost"] == 3
