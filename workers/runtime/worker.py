"""One replica of one stage: the whole of what a process, or a thread of one, runs."""

from __future__ import annotations

import random
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from threading import Thread
from typing import Any

import structlog

from kaption.connections.errors import Fatal, Retry
from kaption.connections.kafka.access import check_access, denial
from kaption.connections.kafka.rights import check_rights
from kaption.connections.settings import KafkaConnection
from kaption.workers.runtime import metrics
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.poll import Poll
from kaption.workers.runtime.progress import Progress
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Stage

_log = structlog.get_logger(__name__)
_SUPERVISE_S = 0.1
_CLOSE_S = 5.0
_PAUSE_AFTER_ERROR_S = 0.5
_LOOK_S = 5.0


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
        self._stops = 0
        self._session: Session | None = None
        self._last_step: float | None = None
        self._failure: BaseException | None = None
        self._failing_since: float | None = None
        metrics.begin(stage.name)

    def stop(self) -> None:
        """Finish what is in compute, commit it, leave; asked twice, leave at once.

        May be called from any thread and from a signal handler: it takes no lock.
        """
        self._stops += 1

    def run(self) -> None:
        """Set the stage up, work until `stop`, close the stage.

        Raises Fatal, saying why and what to do, when the worker cannot go on.
        """
        self.stage.setup()
        poll: Poll | None = None
        try:
            self._session = self._open_session()
            poll = self._make_poll(self._session)
            poll.start()
            self._supervise(poll)
        finally:
            self._close(poll)

    @property
    def name(self) -> str:
        """The stage's."""
        return self.stage.name

    @property
    def alive(self) -> bool:
        """The poll thread came round lately (or is not started yet)."""
        began = self._last_step
        return self._failure is None and (
            began is None or self._clock() - began < self._policy.stuck_s
        )

    def not_ready(self) -> str | None:
        """None when partitions may come and the stage can work, else what is missing."""
        if self._session is None:
            return "not connected to Kafka"
        if self._session.joining:
            return "no member of the consumer group"
        return self.stage.ready()

    def _open_session(self) -> Session:
        """Wait for the broker as long as a lost session may take to come back."""
        prefix = self._connection.topic_prefix
        deadline = self._clock() + self._policy.rebuild_limit_s
        # Unique for each life of a worker, never reused: two processes with one id would fence
        # each other for ever.
        transactional_id = (
            f"{prefix}{self.stage.name}-{socket.gethostname()}-{uuid.uuid4().hex[:12]}"
        )
        while True:
            seen = check_access(self._connection)
            try:
                check_rights(
                    self._connection,
                    self.stage.name,
                    self.stage.inputs,
                    self.stage.outputs,
                    transactional_id,
                    self._policy.request_timeout_s,
                )
                return Session(
                    self._connection,
                    prefix + self.stage.name,
                    [prefix + topic.name for topic in self.stage.inputs],
                    transactional_id,
                    self._policy,
                    pause_new=type(self.stage).resume is not Stage.resume,
                )
            except (Session.errors, Retry) as error:
                why = seen or repr(error)
                if self._clock() > deadline or self._stops:
                    raise Fatal(
                        f"no Kafka broker answers at {self._connection.bootstrap}: {why}"
                    ) from error
                _log.warning("no broker yet", stage=self.stage.name, error=why)
                time.sleep(_PAUSE_AFTER_ERROR_S)

    def _make_poll(self, session: Session) -> Poll:
        prefix = self._connection.topic_prefix
        return Poll(
            self.stage,
            {prefix + topic.name: topic for topic in self.stage.inputs},
            prefix,
            session,
            self._policy,
            self.progress,
            self._clock,
            self._now,
            self._random,
        )

    def _supervise(self, poll: Poll) -> None:
        """Watch the poll thread from outside: a wait of the library may last for ever."""
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
                break
        if self._failure is not None:
            raise self._failure

    def _poll(self, poll: Poll) -> None:
        try:
            while not (poll.drained or self._stops > 1):
                if self._stops:
                    poll.drain()
                self._step(poll)
                self._last_step = self._clock()
        except BaseException as error:  # noqa: BLE001 - run() raises it
            self._failure = error

    def _step(self, poll: Poll) -> None:
        try:
            poll.step()
        except Session.errors as error:
            assert self._session is not None
            now = self._clock()
            self._failing_since = self._failing_since or now
            # Raises where we are refused by now. A right that is missing may only be on its way.
            seen = check_access(self._connection, _LOOK_S)
            why = denial(self._connection, error) or seen or repr(error)
            if now - self._failing_since > self._policy.rebuild_limit_s:
                raise Fatal(
                    f"the consumer fails for {now - self._failing_since:.0f} s: {why}"
                ) from error
            _log.warning("consumer replaced", stage=self.stage.name, error=why)
            time.sleep(_PAUSE_AFTER_ERROR_S)
            with suppress(Session.errors):
                self._session.replace_consumer()
        else:
            self._failing_since = None

    def _close(self, poll: Poll | None) -> None:
        """Compute first, so that nothing is at work when the stage closes; the group last."""
        ended = poll is None or poll.stop(_CLOSE_S)
        if self._session is not None:
            self._session.close(_CLOSE_S)
        if ended:
            self.stage.close()
        else:
            _log.warning("stage abandoned while it computes", stage=self.stage.name)
