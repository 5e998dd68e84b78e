"""Waiting for what is down: exponential, with jitter, for as long as it takes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

import stamina

from kaption.connections.errors import Retry
from kaption.workers.runtime.policy import RuntimePolicy

T = TypeVar("T")


class Stopped(Exception):
    """The worker is asked to stop: what was being tried is given up."""


class Backoff:
    """Calls again after Retry; nothing is dropped, however long it takes."""

    def __init__(
        self,
        policy: RuntimePolicy,
        random_source: random.Random,
        stopping: Callable[[], bool],
        on_retry: Callable[[Retry], None],
    ) -> None:
        self._policy = policy
        self._random = random_source
        self._stopping = stopping
        self._on_retry = on_retry

    def call(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; raises its other errors, and Stopped between two tries.

        The first try is made also while stopping: that is how a sink closes its last shards.
        """
        try:
            return work()  # nearly always enough, and a retry context costs more than most stages
        except Retry as error:
            return self._again(work, error)

    def _again(self, work: Callable[[], T], first: Retry) -> T:
        pending: Retry | None = first
        tries = 0

        def wait(error: Exception) -> bool | float:
            nonlocal tries
            if not isinstance(error, Retry) or self._stopping():
                return False
            self._on_retry(error)
            tries += 1
            # The wait is ours and not stamina's, whose jitter ends where the longest wait is
            # reached: all workers would come back to a store in the same second.
            longest = min(
                self._policy.retry_max_s, self._policy.retry_initial_s * 2.0 ** min(tries, 30)
            )
            return max(error.after_s or 0.0, longest * self._random.uniform(0.5, 1.0))

        try:
            for attempt in stamina.retry_context(on=wait, attempts=None, timeout=None):
                with attempt:
                    if pending is not None:
                        error, pending = pending, None
                        raise error
                    if self._stopping():
                        raise Stopped
                    return work()
        except Retry as last:
            raise Stopped from last
        raise AssertionError("stamina ends by returning or raising")
