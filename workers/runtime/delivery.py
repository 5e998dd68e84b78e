"""Finished batches into transactions, until the broker says they are committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import structlog

from kaption.connections.errors import Fatal
from kaption.connections.kafka.messages import Partition
from kaption.connections.kafka.transaction import (
    Committed,
    Opened,
    Refused,
    Result,
    TransactionThread,
)
from kaption.workers.runtime import metrics
from kaption.workers.runtime.dead_letter_rate import DeadLetterRate
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.idle import Reached
from kaption.workers.runtime.outputs import Outputs
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Dead

_log = structlog.get_logger(__name__)
_PAUSE_AFTER_REFUSAL_S = 0.1
_PAUSE_BETWEEN_OPENINGS_S = 1.0


class Delivery:
    """Belongs to the poll thread; one transaction is under way at a time.

    Results are kept until it is known that they are committed: inference is never repeated because
    a commit failed.
    """

    def __init__(
        self,
        stage: str,
        session: Session,
        outputs: Outputs,
        rate: DeadLetterRate,
        policy: RuntimePolicy,
        clock: Callable[[], float],
        later: Callable[[Callable[[], None]], None],
        released: Callable[[Sequence[Entry], bool], None],
        reached: Callable[[Reached], None],
    ) -> None:
        """`later` runs a call on the poll thread; `released` gets entries that are done with, and
        whether they were committed by us; `reached` gets positions that were.
        """
        self._stage = stage
        self._session = session
        self._outputs = outputs
        self._rate = rate
        self._policy = policy
        self._clock = clock
        self._later = later
        self._on_release = released
        self._on_reached = reached
        self._finished: deque[Sequence[Entry]] = deque()
        self._sent: list[Entry] = []
        self._positions: Reached = {}
        self.records = 0
        """Finished and not known to be committed yet."""
        self._thread: TransactionThread | None = None
        self._began = clock()
        self._deadline: float | None = None
        """Of what is under way on the thread; none: nothing is."""
        self._not_before = clock()
        self._failing_since: float | None = None

    @property
    def idle(self) -> bool:
        """Nothing is left to commit."""
        return not self._finished and not self._sent

    @property
    def open(self) -> bool:
        """There is a producer to commit with."""
        return self._thread is not None and self._failing_since is None

    def add(self, batch: Sequence[Entry]) -> None:
        """Take a finished batch. Raises Fatal where too many records are dead."""
        self._rate.add(len(batch), sum(isinstance(entry.outcome, Dead) for entry in batch))
        self._finished.append(batch)
        self.records += len(batch)

    @property
    def free(self) -> bool:
        """There is a producer, and nothing to commit with it."""
        return self._thread is not None and self._deadline is None and self.idle

    def step(self) -> None:
        """Start what can be started, give up what takes too long. Raises Fatal."""
        now = self._clock()
        if self._deadline is not None:
            if now > self._deadline:
                self._failed(TimeoutError(f"no answer for {now - self._began:.0f} s"))
        elif now < self._not_before:
            return
        elif self._thread is None:
            self._open()
        elif self._finished:
            self._send()

    def commit_positions(self, reached: Reached) -> None:
        """Commit positions alone, while `free`; where that fails nothing is tried again."""
        # The order matters, as below.
        group = self._session.group_metadata() if reached else None
        ownership = self._session.ownership
        ours = {
            partition: (epoch, position)
            for partition, (epoch, position) in reached.items()
            if partition in ownership.owned and ownership.epoch(partition) == epoch
        }
        if group is None or not ours or self._clock() < self._not_before:
            return
        assert self._thread is not None
        self._positions = ours
        offsets = {partition: position for partition, (_, position) in ours.items()}
        self._thread.commit([], offsets, group)
        self._under_way(self._policy.transaction_deadline_s)

    def _report(self, thread: TransactionThread, result: Result) -> None:
        if thread is not self._thread or self._deadline is None:
            return  # left behind while its report was on its way
        self._deadline = None
        match result:
            case Committed():
                self._failing_since = None
                self._count("committed")
                self._on_reached(self._positions)
                self._settle(self._sent, [])
            case Opened(committed=committed):
                self._resolve(committed)
                # With something left to commit it still fails, although a producer could be opened.
                if self.idle:
                    self._failing_since = None
            case Refused(error=error, too_large=too_large):
                self._count("aborted")
                self._leave_producer()
                self._bury(too_large)
                self._again(error)
            case _:
                self._failed(result.error)

    def _open(self) -> None:
        self._thread = self._session.open_producer(
            {entry.partition for entry in self._sent},
            lambda thread, result: self._later(lambda: self._report(thread, result)),
        )
        self._under_way(self._policy.rebuild_attempt_s)

    def _send(self) -> None:
        # The order matters: metadata first, then whose the partitions are. A rebalance between
        # the two makes the metadata stale, and the broker refuses it.
        group = self._session.group_metadata()
        if group is None:
            return
        self._sent = self._take()
        if not self._sent:
            return
        assert self._thread is not None
        messages = [message for entry in self._sent for message in entry.outgoing]
        self._thread.commit(messages, _next_offsets(self._sent), group)
        self._under_way(self._policy.transaction_deadline_s)

    def _take(self) -> list[Entry]:
        taken: list[Entry] = []
        size = 0
        while self._finished:
            batch = self._finished[0]
            more = sum(entry.bytes for entry in batch)
            if taken and (
                len(taken) + len(batch) > self._policy.transaction_records
                or size + more > self._policy.transaction_bytes
            ):
                break
            self._finished.popleft()
            ours = [entry for entry in batch if self._session.ownership.holds(entry)]
            if len(ours) < len(batch):
                held = set(ours)
                self._release([entry for entry in batch if entry not in held], committed=False)
            taken += ours
            size += more
        return taken

    def _resolve(self, committed: Mapping[Partition, int | None]) -> None:
        """Divide what was sent by what is committed, now that this cannot change any more."""
        done: list[Entry] = []
        again: list[Entry] = []
        for entry in self._sent:
            offset = committed.get(entry.partition)
            (done if offset is not None and entry.raw.offset < offset else again).append(entry)
        if self._sent:
            _log.info("transaction resolved", committed=len(done), sent_again=len(again))
        self._settle(done, again)

    def _settle(self, done: Sequence[Entry], again: Sequence[Entry]) -> None:
        self._sent, self._positions = [], {}
        if again:
            self._finished.appendleft(again)
        if done:
            self._release(done, committed=True)

    def _release(self, entries: Sequence[Entry], *, committed: bool) -> None:
        self.records -= len(entries)
        self._on_release(entries, committed)

    def _again(self, error: Exception) -> None:
        """Nothing was committed: the same results are sent again after a pause."""
        _log.info("transaction aborted", error=repr(error), records=len(self._sent))
        self._fail_since(error)
        self._settle([], self._sent)
        self._not_before = self._clock() + _PAUSE_AFTER_REFUSAL_S

    def _bury(self, too_large: Sequence[int]) -> None:
        """Make entries dead whose messages, by index, the broker found too large."""
        senders = [entry for entry in self._sent for _ in entry.outgoing]
        for index in too_large:
            entry = senders[index]
            if not isinstance(entry.outcome, Dead):
                entry.die("the broker refused its output as too large", unexpected=False)
                self._outputs.build(entry)

    def _failed(self, error: Exception) -> None:
        """The outcome is unknown, or no producer could be opened: another producer must tell."""
        _log.warning("session lost", error=repr(error), records=len(self._sent))
        if self._sent:
            self._count("unknown")
        metrics.REBUILDS.labels(self._stage).inc()
        self._leave_producer()
        self._deadline = None
        self._fail_since(error)
        self._not_before = self._clock() + _PAUSE_BETWEEN_OPENINGS_S

    def _leave_producer(self) -> None:
        self._session.abandon_producer()
        self._thread = None

    def _fail_since(self, error: Exception) -> None:
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since > self._policy.rebuild_limit_s:
            raise Fatal(
                f"nothing could be committed for {now - self._failing_since:.0f} s, the last error "
                f"was: {self._session.told(error)}; check the brokers and the topics, then restart "
                "the worker"
            )

    def _under_way(self, seconds: float) -> None:
        self._began = self._clock()
        self._deadline = self._began + seconds

    def _count(self, result: str) -> None:
        metrics.TRANSACTIONS.labels(self._stage, result).inc()
        metrics.TRANSACTION_SECONDS.labels(self._stage).observe(self._clock() - self._began)


def _next_offsets(entries: Sequence[Entry]) -> dict[Partition, int]:
    offsets: dict[Partition, int] = {}
    for entry in entries:
        offsets[entry.partition] = entry.raw.offset + 1
    return offsets
