import pytest

from kaption.connections.errors import Fatal
from kaption.workers.runtime.dead_letter_rate import DeadLetterRate
from kaption.workers.runtime.policy import RuntimePolicy

POLICY = RuntimePolicy(dead_letter_rate=0.5, dead_letter_window_s=60, dead_letter_minimum=10)


def test_past_the_rate_it_stops_and_names_the_share() -> None:
    rate = DeadLetterRate(POLICY, lambda: 0.0)
    rate.add(20, 10)
    with pytest.raises(Fatal, match=r"16 of the last 30 records are dead \(53%"):
        rate.add(10, 6)


def test_below_the_minimum_the_rate_says_nothing() -> None:
    rate = DeadLetterRate(POLICY, lambda: 0.0)
    rate.add(9, 9)


def test_what_left_the_window_is_forgotten() -> None:
    times = iter([0.0, 61.0])
    rate = DeadLetterRate(POLICY, lambda: next(times))
    rate.add(100, 50)
    rate.add(8, 8)


def test_it_can_be_switched_off() -> None:
    rate = DeadLetterRate(POLICY.model_copy(update={"dead_letter_rate": None}), lambda: 0.0)
    rate.add(1000, 1000)
