"""The partitions that cannot be read: they wait, and the others go on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from kaption.connections.errors import Fatal
from kaption.connections.kafka.messages import Partition
from kaption.connections.kafka.unreadable import REPAIR, UnreadableBatch
from kaption.connections.tls import setting
from kaption.workers.runtime.backoff import Outage
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.session import Session

_log = logging.getLogger(__name__)
_STALLED_S = 60.0
_LOOK_S = 1.0
# What passes between two looks counts up to here: a process that was frozen asked for nothing.
_LONGEST_ROUND_S = 2.0
_GIVES_NONE = (
    "the broker gives nothing: its leader may be away, a transaction may hang"
    " (kafka-transactions.sh find-hanging), or the log is damaged"
)


@dataclass(slots=True)
class _Place:
    """An offset that cannot be read."""

    error: UnreadableBatch
    outage: Outage
    stalled: bool
    """No error came, but no record either."""
    again: float = 0.0
    """When it is read again, in seconds of the clock."""


class UnreadablePlaces:
    """Places that the poll thread cannot read. Their partitions wait; the others go on.

    Only `problem` may be called by other threads.
    """

    def __init__(self, stage: str, policy: RuntimePolicy, clock: Callable[[], float]) -> None:
        self._stage = stage
        self._policy = policy
        self._clock = clock
        self._places: dict[Partition, _Place] = {}
        """Places by partition. A place outlasts a loss of its partition, which may come back."""
        self._stalls: dict[Partition, tuple[tuple[int, int], float]] = {}
        """By partition: its epoch and position, and the seconds for which it was asked for records
        and gave none."""
        self._looked = clock()
        quarter_s = policy.rebuild_limit_s / 4
        self._pause_s = min(policy.retry_max_s, quarter_s)
        # Two rounds at least: a partition may have been paused until just before the first one.
        self._patience_s = max(_LONGEST_ROUND_S, min(_STALLED_S, quarter_s))
        self._again_s = max(_LONGEST_ROUND_S, self._pause_s)

    def met(self, error: UnreadableBatch, *, stalled: bool = False) -> None:
        """Let the partition wait. Raises Fatal after `rebuild_limit_s`."""
        limit_s, place = self._policy.rebuild_limit_s, self._places.get(error.partition)
        if place is None or place.error.first != error.first:
            place = _Place(error, Outage(limit_s, self._clock), stalled)
            self._places[error.partition] = place
            extra = {"stage": self._stage, "error": str(error)}
            _log.warning("partition waits, the others go on", extra=extra)
        if lasts := place.outage.failed():
            raise Fatal(f"{error} (tried for {lasts:.0f} s); {_remedy(error)}") from error
        place.again = self._clock() + self._pause_s

    def look(self, session: Session, paused: Collection[Partition]) -> None:
        """Forget places that are passed, and find partitions that stand still without an error.

        A transaction that nobody ends, a leader that is away and some damage give neither records
        nor an error. Time counts while the partition is asked for records: not while it is
        `paused`, and not while the session joins its group. Raises Fatal as `met`.
        """
        passed_s = self._clock() - self._looked
        if passed_s < _LOOK_S:
            return
        self._looked = self._clock()
        passed_s = 0.0 if session.joining else min(passed_s, _LONGEST_ROUND_S)
        lags, stalls, self._stalls = session.lag(), self._stalls, {}
        for partition in session.ownership.owned:
            position, place = session.position(partition), self._places.get(partition)
            if position is None:
                continue
            read = lags.get(partition) == 0
            if place is not None and (position > place.error.first or (place.stalled and read)):
                del self._places[partition]
            elif not read and (place is None or place.stalled):
                at, asked_s = (session.ownership.epoch(partition), position), 0.0
                before = stalls.get(partition)
                if before is not None and before[0] == at:
                    asked_s = before[1] + (0.0 if partition in paused else passed_s)
                if asked_s > (self._patience_s if place is None else self._again_s):
                    asked_s = 0.0
                    self.met(UnreadableBatch(partition, position, None, _GIVES_NONE), stalled=True)
                self._stalls[partition] = at, asked_s

    def waiting(self) -> frozenset[Partition]:
        """The partitions that are not to be read now."""
        now = self._clock()
        return frozenset(each for each, place in self._places.items() if now < place.again)

    def problem(self, owned: Collection[Partition]) -> str | None:
        """What one of these partitions waits for; None if all can be read."""
        places = self._places.copy()
        return next((str(places[each].error) for each in owned if each in places), None)


def _remedy(error: UnreadableBatch) -> str:
    if error.last is None:
        return REPAIR
    name = setting("runtime", "pass_over_unreadable")
    return f"{REPAIR}, or set {name} to true: the batch then goes to pairs.dead"
