"""One replica of one stage: what a process, or a thread of it, runs."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from threading import Thread
from typing import Any

from kaption.connections.errors import Fatal
from kaption.connections.kafka.access import check_access, denial
from kaption.connections.settings import KafkaConnection
from kaption.workers.runtime import metrics
from kaption.workers.runtime.backoff import Backoff
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

_log = logging.getLogger(__name__)
_SUPERVISE_S = 0.1
_CLOSE_S = 5.0
_PAUSE_AFTER_ERROR_S = 0.5
_LOOK_S = 5.0
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
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        random_source: random.Random | None = None,
    ) -> None:
        self.stage = stage
        self.progress = Progress(stage.name)
        self._connection = connection
        self._policy = policy or RuntimePolicy()
        self._clock = clock
        self._now = now
        self._random = random_source or random.Random()  # noqa: S311 - jitter and span ids
        self._stop = StopRequest(clock)
        self._session: Session | None = None
        self._last_step: float | None = None
        self._failure: BaseException | None = None
        self._failing_since: float | None = None
        self._failing_with = ""
        metrics.begin(stage.name)

    def stop(self) -> None:
        """Finish the batch in compute, commit it and leave. A second call: leave at once.

        Any thread and any signal handler may call it: it takes no lock.
        """
        self._stop.ask()

    def run(self) -> None:
        """Set the stage up, work until `stop`, close the stage.

        Raises Fatal, which says why and what to do, if the worker cannot go on.
        """
        self.stage.setup()
        poll: Poll | None = None
        try:
            opening = Opening(self.stage, self._connection, self._policy, self._stop, self._clock)
            self._session = opening.run()
            if self._session is not None:
                poll = self._assemble(self._session)
                poll.start()
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
        if self._session.joining:
            return "no member of the consumer group"
        return self.stage.ready()

    def _assemble(self, session: Session) -> Poll:
        """Construct all parts of this worker. Nothing is started yet."""
        stage, policy, clock, stop = self.stage, self._policy, self._clock, self._stop
        batching, prefix = stage.batching, self._connection.topic_prefix
        mailbox = Mailbox()
        backoff = Backoff(policy, self._random, stop, self.progress.waits)
        outputs = Outputs(stage, prefix, self._now, self._random)
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
                resumption=Resumption(stage, session, backoff, policy.request_timeout_s),
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
                    f"the poll thread has not come round for {self._policy.stuck_s:.0f} s"
                )
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
                    self._failing_since, self._failing_with = None, ""
                self._last_step = self._clock()
        except BaseException as error:  # noqa: BLE001 - run() raises it
            self._failure = error

    def _replace_consumer(self, error: Exception) -> None:
        assert self._session is not None
        now = self._clock()
        self._failing_since = self._failing_since or now
        # Raises Fatal if the broker refuses us by now. A missing right raises nothing: it may have
        # been granted just now and be on its way to this broker.
        seen = check_access(self._connection, _LOOK_S)
        why = denial(self._connection, error) or seen or repr(error)
        if now - self._failing_since > self._policy.rebuild_limit_s:
            raise Fatal(
                f"the consumer fails for {now - self._failing_since:.0f} s: {why}"
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
