"""Sends by way of a spool: accepted on the disk, delivered when the broker is there."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

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
from kaption.producers.refused import refuse, refused_file
from kaption.producers.spool.spool import Group, Spool

_WINDOW_BYTES = 8 * 1024 * 1024
_FIRST_BACK_OFF_S = 0.2
_LONGEST_BACK_OFF_S = 5.0

_log = logging.getLogger(__name__)


class Way(Protocol):
    """What delivers: `kaption.producers.sending.sender.Sender`, or something like it."""

    limit: int

    def send(self, message: Message) -> None:
        """Hand a message over."""

    def flush(self) -> None:
        """Wait until all is delivered. Raises DeliveryError."""

    def stop(self) -> None:
        """Fail what is not delivered; from any thread, also during a `flush`."""


class Spooled:
    """A spool, and a thread that delivers what is in it, in order. Any thread may call.

    Until a window of messages is acknowledged the next one is not sent, and after a failure all
    from the first that failed are sent again: each key's order holds, duplicates may occur.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        connect: Callable[[], Way],
        *,
        limit: int,
        max_block_s: float,
        patience_s: float,
    ) -> None:
        """`connect` raises PublishError while there is no broker. `limit`, in bytes, is that of a
        message before one was there. `flush` gives up after `patience_s` without progress.

        Raises SpoolError.
        """
        self.limit = limit
        self._folder = folder
        self._connect = connect
        self._max_block_s = max_block_s
        self._patience_s = patience_s
        self._spool = Spool(folder, max_bytes)
        self._way: Way | None = None
        self._stopping = threading.Event()
        self._problem: Exception | None = None
        self._broken: Exception | None = None
        self._refusals: deque[Failure] = deque()
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

    def flush(self) -> None:
        """Wait until all that was sent before is delivered.

        Raises StillSpooledError when nothing moved for as long as may be waited, and DeliveryError
        with what the broker refuses for good.
        """
        end = self._spool.end
        while (seen := self._spool.acknowledged) < end and self._broken is None:
            if not self._spool.wait(lambda: self._moved(seen), self._patience_s):
                raise StillSpooledError(
                    f"records wait in the spool {self._folder}, nothing was acknowledged for "
                    f"{self._patience_s:g} s ({self._problem or 'no answer'}): they are sent when "
                    "the broker is back, also by the next Publisher with this spool"
                )
        self._check()
        refusals = [self._refusals.popleft() for _ in range(len(self._refusals))]
        if refusals:
            error = DeliveryError(refusals)
            error.add_note(f"they are kept in {refused_file(self._folder)}")
            raise error

    def close(self) -> None:
        """`flush`, then let go of the folder; what was not delivered stays in it."""
        try:
            self.flush()
        finally:
            self._stopping.set()
            self._spool.wake()
            if self._way is not None:
                self._way.stop()
            # Two may not deliver from one folder: it is held until this one has ended.
            self._thread.join()
            self._spool.close()

    def _check(self) -> None:
        if self._broken is not None:
            raise SpoolError(f"the spool in {self._folder} came to a stop: {self._broken}") from (
                self._broken
            )

    def _moved(self, seen: tuple[int, int]) -> bool:
        return self._spool.acknowledged != seen or self._broken is not None

    def _run(self) -> None:
        try:
            back_off_s = _FIRST_BACK_OFF_S
            while not self._stopping.is_set():
                if self._step():
                    back_off_s = _FIRST_BACK_OFF_S
                else:
                    self._stopping.wait(back_off_s)
                    back_off_s = min(2 * back_off_s, _LONGEST_BACK_OFF_S)
        except Exception as error:  # noqa: BLE001  # raised again by `send` and `flush`
            self._broken = error
            self._spool.wake()

    def _step(self) -> bool:
        """Deliver one window; False if that should wait."""
        window = self._spool.read(_WINDOW_BYTES)
        if not window:
            self._spool.wait(self._wanted, self._patience_s)
            return True
        try:
            failures = self._deliver(window)
        except PublishError as error:
            self._leave(error)
            return False
        if self._stopping.is_set() and failures:
            return False
        return self._account(window, failures)

    def _wanted(self) -> bool:
        return self._stopping.is_set() or self._spool.acknowledged != self._spool.end

    def _deliver(self, window: list[Group]) -> dict[int, Failure]:
        """What failed, by the message's identity. Raises PublishError where none can be sent."""
        if self._way is None:
            self._way = self._connect()
            if self._stopping.is_set():
                raise ClosedError("closed while the broker was looked for")
            self.limit = self._way.limit
        failures: list[Failure] = []
        for group in window:
            for message in group.messages:
                try:
                    self._way.send(message)
                except TooLargeError as error:
                    failures.append(Failure(message, error))
        try:
            self._way.flush()
        except DeliveryError as error:
            failures += error.failures
        return {id(failure.message): failure for failure in failures}

    def _account(self, window: list[Group], failures: dict[int, Failure]) -> bool:
        """Acknowledge up to the first message that is to be sent again; False if there is one."""
        again = [each for each in failures.values() if not isinstance(each.error, TooLargeError)]
        if not again:
            if failures:
                refuse(self._folder, [each.message for each in failures.values()])
                self._refusals += failures.values()
            self._spool.acknowledge(window[-1].end)
            self._problem = None
            return True
        self._leave(again[0].error)
        for group in window:
            if any(id(message) in failures for message in group.messages):
                break
            self._spool.acknowledge(group.end)
        return False

    def _leave(self, problem: Exception) -> None:
        if self._problem is None and not self._stopping.is_set():
            _log.warning("records wait in the spool %s: %s", self._folder, problem)
        self._problem = problem
        way, self._way = self._way, None
        if way is not None:
            way.stop()
