"""The rate limits items to so many a second; the test moves the clock itself."""

import pytest

from kaption.producers.feed.batches import Rate


class Clock:
    """Moves by being slept on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_turns_are_spaced_evenly() -> None:
    clock = Clock()
    rate = Rate(4, clock, clock.sleep)
    turns = []

    for _ in range(5):
        rate.take()
        turns.append(clock.now - 100)

    assert turns == [0, 0.25, 0.5, 0.75, 1]


def test_after_a_pause_only_a_tenth_of_a_second_is_caught_up() -> None:
    clock = Clock()
    rate = Rate(4, clock, clock.sleep)
    rate.take()
    clock.sleep(10)

    rate.take()
    rate.take()

    assert clock.now == pytest.approx(110.15)


@pytest.mark.parametrize("per_second", [0, -1, float("nan")])
def test_a_rate_that_would_never_end_is_refused(per_second: float) -> None:
    with pytest.raises(ValueError, match="never end"):
        Rate(per_second)
