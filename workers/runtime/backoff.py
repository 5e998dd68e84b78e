"""Waiting for a server that is down: exponential, with jitter, for as long as it takes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from kaption.connections.errors import Retry
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.stop import StopRequest

T = TypeVar("T")


class Stopped(Exception):
    """The worker was asked to stop, so the call was given up. Its records come again later."""


class Backoff:
    """Repeats a call that raises Retry until it succeeds or the worker is asked to stop.

    This is no stamina retry: stamina sleeps where nobody can wake it, and its jitter ends at the
    longest wait, so that all workers would come back to a server in the same second.
    """

    def __init__(
        self,
        policy: RuntimePolicy,
        random_source: random.Random,
        stop: StopRequest,
        on_retry: Callable[[Retry], None],
    ) -> None:
        """`on_retry` gets each Retry before the wait that follows it, on the calling thread."""
        self._policy = policy
        self._random = random_source
        self._stop = stop
        self._on_retry = on_retry

    def call(self, work: Callable[[], T]) -> T:
        """Return what `work` returns. Raises Stopped, and every error of `work` but Retry.

        The first try is made even if a stop is asked: the sink writes its last shards then. A stop
        that is asked during a wait ends that wait at once.
        """
        tries = 0
        while True:
            try:
                return work()
            except Retry as error:
                if self._stop.asked:
                    raise Stopped from error
                self._on_retry(error)
                tries += 1
                if self._stop.wait(self._seconds(error, tries)):
                    raise Stopped from error

    def _seconds(self, error: Retry, tries: int) -> float:
        longest = min(
            self._policy.retry_max_s, self._policy.retry_initial_s * 2.0 ** min(tries, 30)
        )
        return max(error.after_s or 0.0, longest * self._random.uniform(0.5, 1.0))
