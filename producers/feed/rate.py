"""A limit of records per second."""

from __future__ import annotations

import time
from collections.abc import Callable

_CATCH_UP_S = 0.1


class Rate:
    """Spaces calls of `take` evenly.

    No sleep is exact, so that up to a tenth of a second of a pause is caught up; there is no
    burst beyond that.
    """

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises ValueError where `per_second` is not above 0."""
        if not per_second > 0:
            raise ValueError(f"a rate of {per_second:g} per second would never end")
        self._interval_s = 1 / per_second
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    def take(self) -> None:
        """Wait until the next record may go."""
        now = self._clock()
        if self._next > now:
            self._sleep(self._next - now)
        self._next = max(self._next, now - _CATCH_UP_S) + self._interval_s
