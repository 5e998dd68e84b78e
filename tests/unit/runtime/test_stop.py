"""A stop ends waits at once, whoever asks for it and from wherever."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from kaption.connections.errors import Retry
from kaption.workers.runtime.backoff import Backoff, Stopped
from kaption.workers.runtime.stop import StopRequest
from support.engine import POLICY
from support.fake_session import Clock

pytestmark = pytest.mark.slow

LONG_S = 60.0
AT_ONCE_S = 5.0
"""Generous for a busy machine, and far below LONG_S."""


@pytest.fixture
def stop() -> StopRequest:
    return StopRequest(time.monotonic)


def seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def test_a_wait_lasts_as_long_as_it_should_where_nobody_asks(stop: StopRequest) -> None:
    assert 0.2 <= seconds(lambda: stop.wait(0.2)) < AT_ONCE_S
    assert not stop.asked


def test_a_stop_ends_all_waits_and_every_wait_after_it(stop: StopRequest) -> None:
    waits = [threading.Thread(target=stop.wait, args=(LONG_S,), daemon=True) for _ in range(5)]
    for wait in waits:
        wait.start()
    time.sleep(0.1)
    stop.ask()
    for wait in waits:
        wait.join(AT_ONCE_S)
    assert not any(wait.is_alive() for wait in waits)
    assert seconds(lambda: stop.wait(LONG_S)) < AT_ONCE_S


def test_a_wait_of_one_who_goes_on_after_a_stop_is_ended_by_the_second(stop: StopRequest) -> None:
    stop.ask()
    assert 0.2 <= seconds(lambda: stop.wait(0.2, at_once=True)) < AT_ONCE_S
    assert not stop.at_once
    threading.Timer(0.1, stop.ask).start()
    assert seconds(lambda: stop.wait(LONG_S, at_once=True)) < AT_ONCE_S
    assert stop.at_once


def test_time_is_counted_from_the_first_request() -> None:
    clock = Clock()
    stop = StopRequest(clock)
    clock.now += 5
    assert stop.seconds == 0
    stop.ask()
    clock.now += 3
    stop.ask()
    assert stop.seconds == 3


@pytest.fixture
def asked_by_signal(stop: StopRequest) -> Iterator[None]:
    def handler(number: int, frame: FrameType | None) -> None:
        stop.ask()

    before = signal.signal(signal.SIGUSR1, handler)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("asked_by_signal")
def test_a_signal_handler_ends_the_wait_of_the_thread_that_it_interrupts(
    stop: StopRequest,
) -> None:
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    assert seconds(lambda: stop.wait(LONG_S)) < AT_ONCE_S


@pytest.mark.usefixtures("asked_by_signal")
def test_signals_in_the_middle_of_waits_and_requests_block_nothing(stop: StopRequest) -> None:
    # Given signals that keep coming
    done = threading.Event()

    def signals() -> None:
        while not done.is_set():
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.0005)

    threading.Thread(target=signals, daemon=True).start()
    # When the main thread waits and asks as well; then it goes on
    for _ in range(300):
        stop.wait(0.001, at_once=True)
        stop.ask()
    done.set()
    assert stop.at_once


class Down:
    """A server that is down for a number of calls."""

    def __init__(self, calls: float, after_s: float | None = None) -> None:
        self.left = calls
        self.calls = 0
        self._after_s = after_s

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise Retry("down", self._after_s)
        return "up"


def backoff(stop: StopRequest, waits: list[str], **policy: float) -> Backoff:
    changed = POLICY.model_copy(update={"retry_initial_s": 0.001, "retry_max_s": 0.01} | policy)
    return Backoff(changed, random.Random(1), stop, lambda error: waits.append(str(error)))


def test_a_call_is_repeated_until_it_succeeds(stop: StopRequest) -> None:
    waits, server = list[str](), Down(6)
    assert backoff(stop, waits).call(server) == "up"
    assert (server.calls, waits) == (7, ["down"] * 6)


def test_the_other_side_may_ask_for_a_longer_wait(stop: StopRequest) -> None:
    server = Down(1, after_s=0.3)
    assert 0.3 <= seconds(lambda: backoff(stop, []).call(server)) < AT_ONCE_S


@pytest.mark.parametrize(
    ("after_s", "policy"),
    [(LONG_S, {}), (None, {"retry_initial_s": LONG_S, "retry_max_s": LONG_S})],
    ids=["the server asked to wait", "it has been down for long"],
)
def test_a_stop_during_the_wait_gives_up_at_once(
    stop: StopRequest, after_s: float | None, policy: dict[str, float]
) -> None:
    server, waits = Down(1e9, after_s), list[str]()
    threading.Timer(0.1, stop.ask).start()

    def call() -> None:
        with pytest.raises(Stopped):
            backoff(stop, waits, **policy).call(server)

    assert seconds(call) < AT_ONCE_S
    assert (server.calls, waits) == (1, ["down"])


def test_the_first_try_is_made_and_told_although_a_stop_was_asked(stop: StopRequest) -> None:
    stop.ask()
    assert backoff(stop, []).call(Down(0)) == "up"
    failing, told = Down(1e9), list[str]()
    with pytest.raises(Stopped):
        backoff(stop, told).call(failing)
    assert (failing.calls, told) == (1, ["down"])


def test_other_errors_are_not_caught(stop: StopRequest) -> None:
    def fails() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        backoff(stop, []).call(fails)
