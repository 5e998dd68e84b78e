"""The request to stop a worker. Every wait of the engine ends when it is made."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue


class StopRequest:
    """Asked once: finish the work at hand, then leave. Asked twice: leave at once.

    Any thread and any signal handler may ask. This is no `threading.Event`, because an Event takes
    a lock that is not reentrant: a signal handler that calls `set` while the main thread is inside
    `set` or `wait` of the same Event would never return. `SimpleQueue.put` is reentrant.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times = 0
        self._bells: set[SimpleQueue[None]] = set()
        self._at: float | None = None

    def ask(self) -> None:
        """Ask the worker to stop."""
        if self._at is None:
            self._at = self._clock()
        self._times += 1
        for bell in self._bells.copy():
            bell.put(None)

    @property
    def asked(self) -> bool:
        """Whether a stop was asked. It is never taken back."""
        return self._at is not None

    @property
    def at_once(self) -> bool:
        """Whether a stop was asked twice."""
        return self._times > 1

    @property
    def seconds(self) -> float:
        """Seconds since the stop was first asked; 0 if it was not."""
        return 0.0 if self._at is None else self._clock() - self._at

    def wait(self, seconds: float, *, at_once: bool = False) -> bool:
        """Sleep for `seconds`, but no longer than until a stop is asked. Returns `asked`.

        With `at_once` the sleep ends early only when a stop is asked twice: for a caller that goes
        on working after the first request.
        """
        bell: SimpleQueue[None] = SimpleQueue()
        self._bells.add(bell)
        try:
            # The bell is in place first: a stop that this look does not see yet rings it.
            if not (self.at_once if at_once else self.asked):
                bell.get(timeout=seconds)
        except Empty:
            pass
        finally:
            self._bells.discard(bell)
        return self.asked
