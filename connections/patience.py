"""Repeating a call where no engine waits: in readers, commands and questions to a broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay
from tenacity.wait import wait_exponential_jitter

T = TypeVar("T")
WAIT = wait_exponential_jitter(multiplier=0.1, max=2.0, jitter=0.5)


def repeated(
    call: Callable[[], T],
    passes: Callable[[BaseException], bool],
    timeout_s: float,
    on_wait: Callable[[BaseException | None], object] = lambda _: None,
) -> T:
    """Return what the call returns; repeat it for up to `timeout_s` while `passes` is true of its
    error.

    `on_wait` gets the first error, if the call is repeated. Raises the last error. A `timeout_s` of
    0 repeats nothing. It is made of tenacity and not of stamina, which prints each wait to the
    standard output of the user's process.
    """

    def before_sleep(state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None:
            on_wait(state.outcome.exception())

    return Retrying(
        retry=retry_if_exception(passes),
        stop=stop_after_delay(timeout_s),
        wait=WAIT,
        before_sleep=before_sleep,
        reraise=True,
    )(call)
