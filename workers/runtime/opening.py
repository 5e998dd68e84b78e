"""The worker's start: it waits until a broker answers and lets it into the consumer group."""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

from kaption.connections.errors import Fatal, Retry
from kaption.connections.kafka.access import check_access
from kaption.connections.kafka.rights import check_rights
from kaption.connections.settings import KafkaConnection
from kaption.connections.tls import setting
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Stage
from kaption.workers.runtime.stop import StopRequest

_log = logging.getLogger(__name__)
_LOOK_S = 0.1
_PAUSE_AFTER_ERROR_S = 0.5
_CLOSE_S = 5.0


class Opening:
    """Opens one session, on a thread of its own: the library's waits for a broker have no end.

    A stop therefore takes effect at once. The thread is left behind, and closes what it may still
    open.
    """

    def __init__(
        self,
        stage: Stage[Any, Any],
        connection: KafkaConnection,
        policy: RuntimePolicy,
        stop: StopRequest,
        clock: Callable[[], float],
    ) -> None:
        self._stage = stage
        self._connection = connection
        self._policy = policy
        self._stop = stop
        self._clock = clock
        self._answers: SimpleQueue[Session | BaseException] = SimpleQueue()
        self._lock = Lock()
        self._left = False
        self._seen = ""

    def run(self) -> Session | None:
        """Wait for the session; returns None if a stop is asked before it is open.

        The wait lasts up to `rebuild_limit_s`, as for a session that was lost. Raises Fatal if no
        broker answers by then, or if a broker refuses the worker, which time does not mend.
        """
        Thread(target=self._work, name=f"{self._stage.name}-open", daemon=True).start()
        while True:
            try:
                answer = self._answers.get(timeout=_LOOK_S)
            except Empty:
                if self._stop.asked and self._leave():
                    _log.warning(
                        "stopped before Kafka answered",
                        extra={"stage": self._stage.name, "why": self._seen or "no try has ended"},
                    )
                    return None
                continue
            if isinstance(answer, BaseException):
                raise answer
            return answer

    def _leave(self) -> bool:
        with self._lock:
            self._left = self._answers.empty()
            return self._left

    def _work(self) -> None:
        answer: Session | BaseException | None
        try:
            answer = self._open()
        except BaseException as error:  # noqa: BLE001 - run() raises it
            answer = error
        with self._lock:
            if answer is not None and not self._left:
                self._answers.put(answer)
                return
        if isinstance(answer, Session):
            answer.close(_CLOSE_S)

    def _open(self) -> Session | None:
        prefix = self._connection.topic_prefix
        deadline = self._clock() + self._policy.rebuild_limit_s
        # The transactional id is unique for each life of a worker: two processes with one id would
        # fence each other for ever.
        transactional_id = (
            f"{prefix}{self._stage.name}-{socket.gethostname()}-{uuid.uuid4().hex[:12]}"
        )
        while not self._stop.asked:
            if seen := check_access(self._connection):
                self._note(seen)  # before the library, which takes long to see the same
            try:
                check_rights(
                    self._connection,
                    self._stage.name,
                    self._stage.inputs,
                    self._stage.outputs,
                    transactional_id,
                    self._policy.request_timeout_s,
                )
                return Session(
                    self._connection,
                    prefix + self._stage.name,
                    [prefix + topic.name for topic in self._stage.inputs],
                    transactional_id,
                    self._policy,
                )
            except (Session.errors, Retry) as error:
                why = seen or repr(error)
                if self._clock() > deadline:
                    raise Fatal(
                        f"no Kafka broker answers at {self._connection.bootstrap}: {why}; start it,"
                        f" or correct {setting('kafka', 'bootstrap')}"
                    ) from error
                self._note(why)
                self._stop.wait(_PAUSE_AFTER_ERROR_S)
        return None

    def _note(self, why: str) -> None:
        """Log one line for each reason, not one for each try."""
        if why != self._seen:
            self._seen = why
            _log.warning("no broker yet", extra={"stage": self._stage.name, "error": why})
