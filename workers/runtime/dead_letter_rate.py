"""Stops the worker when too large a share of its recent records is dead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from kaption.connections.errors import Fatal
from kaption.workers.runtime.policy import RuntimePolicy


class DeadLetterRate:
    """Counts records over a sliding window; `clock` gives monotonic seconds."""

    def __init__(self, policy: RuntimePolicy, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._batches: deque[tuple[float, int, int]] = deque()
        self._records = 0
        self._dead = 0

    def add(self, records: int, dead: int) -> None:
        """Count a batch. Raises Fatal past the limit; then the batch must not be committed."""
        limit = self._policy.dead_letter_rate
        if limit is None:
            return
        now = self._clock()
        self._batches.append((now, records, dead))
        self._records += records
        self._dead += dead
        while self._batches[0][0] < now - self._policy.dead_letter_window_s:
            _, old_records, old_dead = self._batches.popleft()
            self._records -= old_records
            self._dead -= old_dead
        if dead and self._dead >= self._policy.dead_letter_minimum:
            share = self._dead / self._records
            if share > limit:
                raise Fatal(
                    f"{self._dead} of the last {self._records} records are dead ({share:.0%}, "
                    f"limit {limit:.0%}): look at the newest errors in pairs.dead; the batch that "
                    "passed the limit was not committed and comes again after a restart"
                )
