"""Delivers what is in a spool, in order, until the broker has it or refuses it for good."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kaption.connections.kafka.messages import Message
from kaption.producers.errors import (
    BufferFullError,
    ClosedError,
    DeliveryError,
    Failure,
    PublishError,
    SpoolError,
    StillSpooledError,
    TooLargeError,
)
from kaption.producers.options import PublisherOptions
from kaption.producers.spool.refused import REFUSED_FILE, refuse
from kaption.producers.spool.spool import Spool
from kaption.schemas.limits import MIB

if TYPE_CHECKING:
    from kaption.producers.sending.sender import Sender

_WINDOW_BYTES = 8 * MIB
_FIRST_BACK_OFF_S = 0.2
_LONGEST_BACK_OFF_S = 5.0
_UNKNOWN = "no answer: is the broker up, and has it the topic?"

_log = logging.getLogger(__name__)

Window = list[tuple[int, Message]]
"""Messages that are sent together, each with its number in the spool."""


class Spooled:
    """A spool and the thread that delivers from it. Any thread may call any method.

    The thread sends one window of messages and waits for its acknowledgements before it sends the
    next. After a failure it sends again the message that failed and all behind it. So each key's
    order holds, and a message may arrive twice.
    """

    def __init__(
        self,
        folder: Path,
        options: PublisherOptions,
        connect: Callable[[], Sender],
        limit: int,
        awaited: Sequence[str] = (),
    ) -> None:
        """`connect` raises PublishError while there is no broker.

        `limit` is the largest message in bytes until the first connection tells the topic's own.
        `awaited` ends with what a connection that is not open yet waits for. Raises SpoolError.
        """
        self.limit = limit
        self._folder = folder
        self._connect = connect
        self._max_block_s = options.max_block_s
        self._patience_s = options.delivery_timeout_s
        self._spool = Spool(folder, options.spool_bytes)
        self._sender: Sender | None = None
        self._stopping = threading.Event()
        self._problem: Exception | None = None
        """Why messages wait now; None while they are delivered."""
        self._awaited = awaited
        self._working = threading.Lock()
        """The thread holds it, but not while it connects."""
        self._broken: Exception | None = None
        """What ended the thread."""
        self._refusals: deque[Failure] = deque()
        """Messages that Kafka refused and that were not reported yet."""
        self._thread = threading.Thread(target=self._run, name="kaption-spool", daemon=True)
        self._thread.start()

    def send(self, message: Message) -> None:
        """Put a message on the disk. Raises BufferFullError and SpoolError."""
        self._check()
        try:
            self._spool.append(message, self._max_block_s)
        except BufferFullError as error:
            if self._problem is None:
                raise
            raise BufferFullError(f"{error}; now: {self._problem}") from error

    def flush(self, patience_s: float | None = None) -> None:
        """Wait until all that was sent before this call is delivered.

        Raises StillSpooledError when nothing was acknowledged for `patience_s` (None: for
        `delivery_timeout_s`), and DeliveryError with the messages that the broker refuses for good;
        each is reported once.
        """
        patience_s = self._patience_s if patience_s is None else patience_s
        end = self._spool.end
        while (seen := self._spool.acknowledged) < end and self._broken is None:
            if not self._spool.wait(lambda: self._moved(seen), patience_s):
                why = self._problem or (self._awaited[-1] if self._awaited else _UNKNOWN)
                raise StillSpooledError(
                    f"records wait in the spool {self._folder}, nothing was acknowledged for "
                    f"{patience_s:g} s ({why}): they are sent when the broker takes them, also by "
                    "the next Publisher with this spool"
                )
        self._check()
        refusals = [self._refusals.popleft() for _ in range(len(self._refusals))]
        if refusals:
            error = DeliveryError(refusals)
            error.add_note(f"they are kept in {self._folder / REFUSED_FILE}")
            raise error

    def close(self, patience_s: float | None = None) -> None:
        """`flush`, then let go of the folder; what was not delivered stays in it."""
        try:
            self.flush(patience_s)
        finally:
            self._stopping.set()
            self._spool.wake()
            if self._sender is not None:
                self._sender.stop()
            # The folder is free for another Publisher only when the thread sends nothing more. To
            # join it was rejected: an attempt to connect takes `connect_timeout_s`, longer than
            # `close` may. A thread that connects ends without another look at the folder.
            with self._working:
                self._spool.close()

    def _check(self) -> None:
        if (broken := self._broken) is not None:
            raise SpoolError(f"the spool in {self._folder} came to a stop: {broken}") from broken

    def _moved(self, seen: int) -> bool:
        return self._spool.acknowledged != seen or self._broken is not None

    def _run(self) -> None:
        try:
            back_off_s = _FIRST_BACK_OFF_S
            while not self._stopping.is_set():
                with self._working:
                    delivered = not self._stopping.is_set() and self._step()
                if delivered:
                    back_off_s = _FIRST_BACK_OFF_S
                else:
                    self._stopping.wait(back_off_s)
                    back_off_s = min(2 * back_off_s, _LONGEST_BACK_OFF_S)
        except Exception as error:  # noqa: BLE001  # raised again by `send` and `flush`
            self._broken = error
            self._spool.wake()

    def _step(self) -> bool:
        """Deliver one window; False if the next attempt should wait."""
        window = self._spool.read(_WINDOW_BYTES)
        if not window:
            self._spool.wait(self._wanted, self._patience_s)
            return True
        try:
            failures = self._deliver(window)
        except PublishError as error:
            self._disconnect(error)
            return False
        if self._stopping.is_set() and failures:
            return False
        return self._account(window, failures)

    def _wanted(self) -> bool:
        return self._stopping.is_set() or self._spool.acknowledged != self._spool.end

    def _deliver(self, window: Window) -> dict[int, Failure]:
        """Send a window; returns what failed, by number. Raises PublishError if nothing was sent.

        A message is known by its identity while it is sent: two may be equal.
        """
        if self._sender is None:
            self._working.release()
            try:
                self._sender = self._connect()
            finally:
                self._working.acquire()
            if self._stopping.is_set():
                raise ClosedError("closed while the broker was looked for")
            self.limit = self._sender.limit
        failures: list[Failure] = []
        for _, message in window:
            try:
                self._sender.send(message)
            except TooLargeError as error:
                failures.append(Failure(message, error))
        try:
            self._sender.flush()
        except DeliveryError as error:
            failures += error.failures
        failed = {id(failure.message): failure for failure in failures}
        return {number: failed[id(each)] for number, each in window if id(each) in failed}

    def _account(self, window: Window, failures: dict[int, Failure]) -> bool:
        """Acknowledge up to the first message that is to be sent again; False if there is one."""
        errors = (failure.error for failure in failures.values())
        again = next((error for error in errors if not isinstance(error, TooLargeError)), None)
        if again is not None:
            self._disconnect(again)
            # One that was refused is sent again too, and refused again, if it is not at the front.
            self._spool.acknowledge(min(failures) - 1)
            return False
        if failures:
            refuse(self._folder, [failure.message for failure in failures.values()])
            self._refusals += failures.values()
        self._spool.acknowledge(window[-1][0])
        self._problem = None
        return True

    def _disconnect(self, problem: Exception) -> None:
        if self._problem is None and not self._stopping.is_set():
            _log.warning("records wait in the spool %s: %s", self._folder, problem)
        self._problem = problem
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.stop()
