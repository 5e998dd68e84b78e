"""Waiting for a server that is down: exponential, with jitter, for as long as it takes.

An `Outage` measures how long something has failed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from kaption.connections.errors import Retry
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.stage_thread import StageThread
from kaption.workers.runtime.stop import StopRequest

T = TypeVar("T")
_LOOK_S = 0.1
_APART_S = 300.0


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
        """`on_retry` gets each Retry, before any wait that follows it, on the calling thread."""
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
                self._on_retry(error)  # also at a stop: a run tells it where work is left undone
                if self._stop.asked:
                    raise Stopped from error
                tries += 1
                if self._stop.wait(self._seconds(error, tries)):
                    raise Stopped from error

    def _seconds(self, error: Retry, tries: int) -> float:
        longest = min(
            self._policy.retry_max_s, self._policy.retry_initial_s * 2.0 ** min(tries, 30)
        )
        return max(error.after_s or 0.0, longest * self._random.uniform(0.5, 1.0))


class Outage:
    """Lasts from the first failure until there is proof that the work goes on.

    A success without work, such as an empty poll between two failures, is no proof: it would hide
    a failure that always comes back. A failure long after the last one begins a new outage.
    """

    def __init__(self, limit_s: float, clock: Callable[[], float]) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._first: float | None = None
        self._last = 0.0

    def failed(self) -> float | None:
        """Note a failure. Returns the seconds since the first one, once they pass the limit."""
        now = self._clock()
        if self._first is None or now - self._last > max(self._limit_s, _APART_S):
            self._first = now
        self._last = now
        lasts = now - self._first
        return lasts if lasts > self._limit_s else None

    def end(self) -> None:
        """Note that the work goes on."""
        self._first = None

    def __bool__(self) -> bool:
        return self._first is not None


def unless_stopped(work: Callable[[], None], stop: StopRequest, name: str) -> None:
    """Do `work`, which may load a model for minutes. Raises Stopped as soon as a stop is asked.

    Nothing can end such a call. It has a thread of its own, which a stop leaves behind.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
            done.set_result(None)
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            done.set_exception(error)

    StageThread(target=run, name=f"{name}-setup", daemon=True).start()
    while not done.done():
        wait([done], _LOOK_S)
        if stop.asked and not done.done():
            raise Stopped
    done.result()
