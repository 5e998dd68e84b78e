"""One commit, from the finished batch to the committed offsets.

1. compute.py finishes a batch: every entry has its outcome, and outputs.py has built its messages.
   poll.py receives the batch (`Poll._computed`) and calls `Delivery.add`.
2. dead_letter_rate.py counts the dead records, but for those that the stage's probe has shown to be
   bad themselves. Past the limit it raises Fatal before anything of
   the batch is sent. The worker ends and the batch comes again after the restart.
3. In the next round of the poll thread, `Delivery.step` takes the finished batches that fit one
   transaction, in the order in which they were finished. It drops the entries whose partition was
   lost (rebalance.py); the partition's new owner processes them.
4. connections/kafka/transaction.py runs the transaction on its own thread: it begins, sends all
   messages, adds the offset behind the last entry of each partition, and ends. The poll thread
   goes on meanwhile. The answer comes back through the mailbox (parts.py) to `Delivery._report`.

What happens then:

=========  ========================================================================================
answer     what follows
=========  ========================================================================================
Committed  The entries are counted in progress.py and freed.
Refused    The broker took not everything, so nothing is committed: a stale generation, a lost
           right, a message it finds too large (its entry becomes Dead). The producer is replaced,
           and the same results are sent again after a short pause.
Unknown    Nobody knows whether it is committed: a fatal error, or no answer until
           `transaction_deadline_s`. The producer is left behind and another one is opened under
           the same transactional id, which ends what its predecessor had begun.
Opened     The new producer is ready, and `committed` holds offsets that cannot change any more.
           Entries in front of them are committed, by this worker if all are. The others are sent
           again.
=========  ========================================================================================

If nothing could be committed for `rebuild_limit_s`, `step` or `_report` raises Fatal, the worker
ends and its supervisor restarts it. session.py opens the producers, and idle.py says which
positions are committed where no batch is in work; they go the same way from step 4 on.

Results are kept until it is known that they are committed. Inference is never repeated because a
commit failed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence

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
from kaption.workers.runtime.backoff import Outage
from kaption.workers.runtime.dead_letter_rate import DeadLetterRate
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.idle import IdlePositions, Reached
from kaption.workers.runtime.outputs import Outputs
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.progress import Progress
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Dead

_log = logging.getLogger(__name__)
_PAUSE_AFTER_REFUSAL_S = 0.1
_PAUSE_BETWEEN_OPENINGS_S = 1.0


class Delivery:
    """Belongs to the poll thread. At most one transaction is under way."""

    def __init__(
        self,
        session: Session,
        outputs: Outputs,
        progress: Progress,
        policy: RuntimePolicy,
        clock: Callable[[], float],
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        """`later`, on any thread, has the poll thread make a call; `clock` in monotonic seconds."""
        self._session = session
        self._outputs = outputs
        self._progress = progress
        self._policy = policy
        self._clock = clock
        self._later = later
        self._rate = DeadLetterRate(policy, clock)
        self.positions = IdlePositions(session, policy.idle_commit_s, clock)
        self._finished: deque[Sequence[Entry]] = deque()
        self._sent: list[Entry] = []
        self._reached: Reached = {}
        self.records = 0
        """Records that are finished and not known to be committed."""
        self._thread: TransactionThread | None = None
        self._began = self._clock()
        self._committing = False
        """Whether the thread's present work is a transaction, and not the opening of a producer."""
        self._deadline: float | None = None
        """When the thread's present work is too late; None: the thread has no work."""
        self._not_before = self._clock()
        self._failed_last = False
        self._outage = Outage(policy.rebuild_limit_s, clock)
        self._idle_outage = Outage(policy.rebuild_limit_s, clock)
        """The outage of commits that hold positions alone. Their success does not end `_outage`."""

    @property
    def idle(self) -> bool:
        """Whether nothing is left to commit."""
        return not self._finished and not self._sent

    @property
    def open(self) -> bool:
        """Whether there is a producer, if only on its way, and the last commit did not fail."""
        return self._thread is not None and not self._failed_last

    @property
    def free(self) -> bool:
        """Whether there is a producer that has nothing to do."""
        return self._thread is not None and self._deadline is None and self.idle

    def add(self, batch: Sequence[Entry]) -> None:
        """Take a finished batch. Raises Fatal if too many records are dead."""
        dead = sum(isinstance(entry.outcome, Dead) and not entry.own_fault for entry in batch)
        self._rate.add(len(batch), dead)
        self._finished.append(batch)
        self.records += len(batch)

    def step(self) -> None:
        """Start what can be started, and give up what takes too long. Raises Fatal."""
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
        """Commit positions without messages. Call it while `free`.

        After a failure they are not sent again: `IdlePositions` offers them anew.
        """
        # The order of these two matters, see `_send`.
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
        self._reached = ours
        offsets = {partition: position for partition, (_, position) in ours.items()}
        self._thread.commit([], offsets, group, self._session.topic_ids.known)
        self._under_way(self._policy.transaction_deadline_s)

    def _open(self) -> None:
        self._thread = self._session.open_producer(
            {entry.partition for entry in self._sent},
            lambda thread, result: self._later(lambda: self._report(thread, result)),
        )
        self._under_way(self._policy.rebuild_attempt_s, committing=False)

    def _send(self) -> None:
        # The metadata is read first, then whose the partitions are. If a rebalance comes between
        # the two, the metadata is stale and the broker refuses it. In the other order it would
        # accept offsets of a partition that another worker owns.
        group = self._session.group_metadata()
        if group is None:
            return
        self._sent = self._take()
        if not self._sent:
            return
        assert self._thread is not None
        messages = [message for entry in self._sent for message in entry.outgoing]
        offsets = _next_offsets(self._sent)
        self._thread.commit(messages, offsets, group, self._session.topic_ids.known)
        self._under_way(self._policy.transaction_deadline_s)

    def _take(self) -> list[Entry]:
        """The entries of the next transaction; those whose partition was lost are freed."""
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

    def _report(self, thread: TransactionThread, result: Result) -> None:
        if thread is not self._thread or self._deadline is None:
            return  # the thread was left behind while its answer was on the way
        self._deadline = None
        match result:
            case Committed():
                self._failed_last = False
                self._idle_outage.end()
                self._count("committed")
                self.positions.committed(self._reached)
                self._settle(self._sent, [])
            case Opened(committed=committed):
                self._resolve(committed)
                # With entries left to commit it still fails: a producer that opens proves nothing.
                if self.idle:
                    self._failed_last = False
            case Refused(error=error, too_large=too_large):
                self._count("aborted")
                self._leave_producer()
                self._bury(too_large)
                self._again(error)
            case _:
                self._failed(result.error)

    def _resolve(self, committed: Mapping[Partition, int | None]) -> None:
        """Free the sent entries that are committed, and queue the others again."""
        done: list[Entry] = []
        again: list[Entry] = []
        for entry in self._sent:
            offset = committed.get(entry.partition)
            (done if offset is not None and entry.raw.offset < offset else again).append(entry)
        if self._sent:
            _log.info(
                "transaction resolved", extra={"committed": len(done), "sent_again": len(again)}
            )
        if again:
            # A transaction commits all or nothing. So this one did not commit: what is committed
            # all the same went to another worker meanwhile, which has counted it.
            self._release(done, committed=False)
            done = []
        self._settle(done, again)

    def _again(self, error: Exception) -> None:
        """Nothing was committed: queue the sent entries again, after a pause."""
        _log.info("transaction aborted", extra={"error": repr(error), "records": len(self._sent)})
        self._fail_since(error)
        self._settle([], self._sent)
        self._not_before = self._clock() + _PAUSE_AFTER_REFUSAL_S

    def _bury(self, too_large: Sequence[int]) -> None:
        """Make the entries dead whose messages, by index, the broker found too large."""
        senders = [entry for entry in self._sent for _ in entry.outgoing]
        for index in too_large:
            entry = senders[index]
            if not isinstance(entry.outcome, Dead):
                entry.die("the broker refused its output as too large", unexpected=False)
                self._outputs.build(entry)

    def _failed(self, error: Exception) -> None:
        """The outcome is unknown, or no producer could be opened. The next producer will tell."""
        _log.warning("session lost", extra={"error": repr(error), "records": len(self._sent)})
        if self._committing:  # not again for a producer that does not open after it
            self._count("unknown")
        metrics.REBUILDS.labels(self._progress.stage).inc()
        self._leave_producer()
        self._deadline = None
        self._fail_since(error)
        self._not_before = self._clock() + _PAUSE_BETWEEN_OPENINGS_S

    def _settle(self, done: Sequence[Entry], again: Sequence[Entry]) -> None:
        self._sent, self._reached = [], {}
        if again:
            self._finished.appendleft(again)
        if done:
            self._outage.end()
            self._release(done, committed=True)

    def _release(self, entries: Sequence[Entry], *, committed: bool) -> None:
        self.records -= len(entries)
        # First, so that no reader sees a record both as held and as done.
        self._progress.held.release(entries)
        if committed:
            self._progress.committed(entries)

    def _leave_producer(self) -> None:
        self._session.abandon_producer()
        self._thread = None

    def _fail_since(self, error: Exception) -> None:
        self._failed_last = True
        lasts = (self._idle_outage if self.idle else self._outage).failed()
        if lasts:
            raise Fatal(
                f"nothing could be committed for {lasts:.0f} s, the last error was: "
                f"{self._session.told(error)}; check the brokers and the topics, then restart the "
                "worker"
            )

    def _under_way(self, seconds: float, *, committing: bool = True) -> None:
        self._committing = committing
        self._began = self._clock()
        self._deadline = self._began + seconds

    def _count(self, result: str) -> None:
        stage = self._progress.stage
        metrics.TRANSACTIONS.labels(stage, result).inc()
        metrics.TRANSACTION_SECONDS.labels(stage).observe(self._clock() - self._began)


def _next_offsets(entries: Sequence[Entry]) -> dict[Partition, int]:
    offsets: dict[Partition, int] = {}
    for entry in entries:
        offsets[entry.partition] = entry.raw.offset + 1
    return offsets
