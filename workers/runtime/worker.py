"""One replica of one stage: what a process, or a thread of it, runs."""

from __future__ import annotations

import logging
import random
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from threading import Thread
from typing import Any

from kaption.connections.errors import Fatal
from kaption.connections.settings import KafkaConnection
from kaption.workers.runtime import metrics
from kaption.workers.runtime.backoff import Backoff, Outage, Stopped, unless_stopped
from kaption.workers.runtime.batcher import Batcher
from kaption.workers.runtime.compute import Compute
from kaption.workers.runtime.delivery import Delivery
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.opening import Opening
from kaption.workers.runtime.outputs import Outputs
from kaption.workers.runtime.parts import Mailbox, Parts
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.poll import Poll
from kaption.workers.runtime.preparation import Preparation
from kaption.workers.runtime.progress import Progress
from kaption.workers.runtime.resumption import Resumption
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Stage
from kaption.workers.runtime.stop import StopRequest
from kaption.workers.runtime.topic_watch import TopicWatch
from kaption.workers.runtime.tracing import Tracing, start_tracing
from kaption.workers.runtime.unreadable import UnreadablePlaces

_log = logging.getLogger(__name__)
_SUPERVISE_S = 0.1
_CLOSE_S = 5.0
_PAUSE_AFTER_ERROR_S = 0.5
# How long the poll thread may take to see that it is to leave, before it is left behind.
_OVERDUE_S = 2.0


class Worker:
    """Consumes the stage's topics until stopped, with exactly one outcome per record.

    `run` may be called once, on any thread. Several workers may run in one process.
    """

    def __init__(
        self,
        stage: Stage[Any, Any],
        connection: KafkaConnection,
        policy: RuntimePolicy | None = None,
    ) -> None:
        self.stage = stage
        self.progress = Progress(stage.name)
        self._connection = connection
        self._policy = policy or RuntimePolicy()
        self._clock = clock = time.monotonic
        self._random = random.Random()  # noqa: S311 - jitter and span ids
        self._stop = StopRequest(clock)
        self._is_set_up = False
        self._session: Session | None = None
        self._last_step: float | None = None
        self._failure: BaseException | None = None
        self._outage = Outage(self._policy.rebuild_limit_s, clock)
        self._failing_with = ""
        self._done_before = 0
        self._watch: TopicWatch | None = None
        self._unreadable = UnreadablePlaces(stage.name, self._policy, clock)
        self._resumption: Resumption | None = None
        self._tracing = Tracing(stage.name, start_tracing()) if self._policy.tracing else None
        metrics.begin(stage.name)

    def stop(self) -> None:
        """Finish the batch in compute, commit it and leave. A second call: leave at once.

        Any thread and any signal handler may call it: it takes no lock.
        """
        self._stop.ask()

    def set_up(self) -> None:
        """Set the stage up once, which loads its models; `run` begins with it.

        Waits for a server that the stage needs for it. Raises Fatal, and Stopped.
        """
        if not self._is_set_up:
            waiting = Backoff(self._policy, self._random, self._stop, self.progress.waits)
            unless_stopped(lambda: waiting.call(self.stage.setup), self._stop, self.stage.name)
            self._is_set_up = True

    def run(self) -> None:
        """Set the stage up, work until `stop`, close the stage.

        Raises Fatal, which says why and what to do, if the worker cannot go on.
        """
        try:
            self.set_up()
        except Stopped:
            return
        poll: Poll | None = None
        try:
            opening = Opening(self.stage, self._connection, self._policy, self._stop, self._clock)
            self._session = opening.run()
            if self._session is not None:
                poll = self._assemble(self._session)
                self._watch = TopicWatch(
                    self._session,
                    self.progress.ages,
                    self._stop,
                    self._policy.rebuild_limit_s,
                    self._clock,
                )
                poll.start()
                self._watch.start()
                self._supervise(poll)
        finally:
            self._close(poll)

    @property
    def name(self) -> str:
        """The stage's name."""
        return self.stage.name

    @property
    def alive(self) -> bool:
        """Whether the poll thread came round within `stuck_s`, or is not started yet."""
        began = self._last_step
        return self._failure is None and (
            began is None or self._clock() - began < self._policy.stuck_s
        )

    def not_ready(self) -> str | None:
        """What is missing before the worker can take partitions and work; None if nothing is."""
        if self._session is None:
            return "not connected to Kafka"
        # These two may be why the worker is no member.
        if self._watch is not None and self._watch.problem:
            return self._watch.problem
        if self._failing_with:
            return self._failing_with
        if self._session.joining:
            return "no member of the consumer group"
        if unreadable := self._unreadable.problem(self._session.ownership.owned):
            return unreadable
        # A server may answer `ready` and yet refuse the work: a full disk, a lost right.
        resumes = self._resumption is not None and bool(self._resumption.asked)
        waits = self.progress.waiting_for if self.progress.held.records or resumes else None
        return self.stage.ready() or waits

    def _assemble(self, session: Session) -> Poll:
        """Construct all parts of this worker. Nothing is started yet."""
        stage, policy, clock, stop = self.stage, self._policy, self._clock, self._stop
        batching, prefix = stage.batching, self._connection.topic_prefix
        mailbox = Mailbox()
        backoff = Backoff(policy, self._random, stop, self.progress.waits)
        outputs = Outputs(stage, prefix, partial(datetime.now, UTC), self._random, self._tracing)
        self._resumption = Resumption(stage, session, backoff, policy.request_timeout_s)
        topics = {prefix + topic.name: topic for topic in stage.inputs}

        def wanted(entry: Entry) -> bool:
            # A stop leaves the batches that are not in work yet. Open shards are written, though.
            left = stop.asked and not batching.per_partition
            return not left and session.ownership.holds(entry)

        return Poll(
            Parts(
                batching=batching,
                policy=policy,
                clock=clock,
                stop=stop,
                session=session,
                mailbox=mailbox,
                preparation=Preparation(stage, topics, policy, backoff, clock),
                batcher=Batcher(batching, clock),
                compute=Compute(stage, policy, backoff, outputs, clock, wanted),
                delivery=Delivery(session, outputs, self.progress, policy, clock, mailbox.put),
                resumption=self._resumption,
                unreadable=self._unreadable,
                progress=self.progress,
            )
        )

    def _supervise(self, poll: Poll) -> None:
        """Run the poll thread and watch it from outside: the library may wait for ever in it."""
        self._last_step = self._clock()
        thread = Thread(
            target=self._poll, args=(poll,), name=f"{self.stage.name}-poll", daemon=True
        )
        thread.start()
        while thread.is_alive():
            thread.join(_SUPERVISE_S)
            if not self.alive and self._failure is None:
                self._failure = Fatal(
                    f"the poll thread has not finished a round for {self._policy.stuck_s:.0f} s"
                )
            if self._watch is not None and self._failure is None:
                self._failure = self._watch.error
            if self._failure is not None or self._overdue():
                break
        if self._failure is not None:
            raise self._failure

    def _overdue(self) -> bool:
        """Whether the poll thread should have ended, but hangs in a call of the library."""
        now, last = self._clock(), self._last_step
        limit = 0.0 if self._stop.at_once else self._policy.grace_s
        late = self._stop.asked and self._stop.seconds > limit + _OVERDUE_S
        return late and last is not None and now - last > _OVERDUE_S

    def _poll(self, poll: Poll) -> None:
        try:
            while not (poll.drained or self._stop.at_once):
                try:
                    poll.step()
                except Session.errors as error:
                    self._replace_consumer(error)
                else:
                    self._note_work()
                self._last_step = self._clock()
        except BaseException as error:  # noqa: BLE001 - run() raises it
            self._failure = error

    def _note_work(self) -> None:
        """End the outage once records were committed, or all partitions are read to their end."""
        if not self._outage:
            return
        assert self._session is not None
        idle = not self.progress.held.records and self._session.caught_up
        if idle or self.progress.snapshot().records > self._done_before:
            self._outage.end()
            self._failing_with = ""

    def _replace_consumer(self, error: Exception) -> None:
        assert self._session is not None
        if not self._outage:
            self._done_before = self.progress.snapshot().records
        lasts = self._outage.failed()
        why = self._session.told(error)
        if lasts:
            raise Fatal(
                f"the consumer fails for {lasts:.0f} s: {why}; check the brokers and the topics"
            ) from error
        if why != self._failing_with:  # one line for each reason, not one for each try
            self._failing_with = why
            _log.warning("consumer replaced", extra={"stage": self.stage.name, "error": why})
        self._stop.wait(_PAUSE_AFTER_ERROR_S, at_once=self._stop.asked)
        with suppress(Session.errors):
            self._session.replace_consumer()

    def _close(self, poll: Poll | None) -> None:
        """End compute first, so that the stage is at rest when it is closed. Then leave the group.

        The stage is not closed if its `process` does not return: closing it would break the call
        in the middle.
        """
        # Also after a failure: it ends every wait, and a poll thread left behind leaves.
        self._stop.ask()
        self._stop.ask()
        ended = poll is None or poll.stop(_CLOSE_S)
        if self._session is not None:
            self._session.close(_CLOSE_S)
        if ended:
            self.stage.close()
        undone = poll is not None and not poll.finished and self._failure is None
        if undone or not ended:
            _log.warning(
                "worker left work undone, which comes again",
                extra={
                    "stage": self.stage.name,
                    "records": self.progress.held.records,
                    "stage_closed": ended,
                },
            )
