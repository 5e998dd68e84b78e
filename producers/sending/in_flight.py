"""Messages between `publish` and the broker's acknowledgement: bounded, and none forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from kaption.connections.kafka.messages import Message
from kaption.producers.errors import BufferFullError, DeliveryError, Failure


class InFlight:
    """Keeps every message until it is delivered, or its failure was reported.

    Bound and deadline are kept here, for kafka-python 3.0.12 keeps neither: it does not bound what
    waits to be sent; its flush does not survive a batch that is split; and an idempotent producer
    that lost its broker no longer fails messages that are overdue. Every method may be called from
    any thread.
    """

    def __init__(
        self, max_bytes: int, timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._clock = clock
        self._changed = threading.Condition()
        self._admitted = 0
        # Message and deadline by number of admission: so the earliest deadline is first.
        self._waiting: dict[int, tuple[Message, float]] = {}
        self._failures: list[Failure] = []
        self._held_bytes = 0
        self._finished = 0
        """Messages that were delivered or have failed."""

    def admit(self, message: Message, max_block_s: float) -> int:
        """Wait for room, up to `max_block_s`; returns the message's number.

        Raises BufferFullError, or DeliveryError where failures that nobody fetched leave no room.
        """
        with self._changed:
            # If no message waits, only reporting the failures can make room.
            if not self._wait(lambda: self._fits(message) or not self._waiting, max_block_s):
                self._report()
                raise BufferFullError(
                    f"{self._held_bytes} bytes wait for their acknowledgement, and none came "
                    f"for {max_block_s:g} s: publish more slowly, or check the broker"
                )
            if not self._fits(message):
                self._report()
            self._admitted += 1
            self._waiting[self._admitted] = message, self._clock() + self._timeout_s
            self._held_bytes += message.size
            return self._admitted

    def delivered(self, number: int) -> None:
        """Forget a message: the broker has it, or it was never sent."""
        with self._changed:
            waiting = self._waiting.pop(number, None)
            if waiting is not None:
                self._held_bytes -= waiting[0].size
                self._finished += 1
                self._changed.notify_all()

    def failed(self, number: int, error: Exception) -> None:
        """Note a failure; `settle` or `admit` reports it."""
        with self._changed:
            waiting = self._waiting.pop(number, None)
            if waiting is not None:
                self._failures.append(Failure(waiting[0], error))
                self._finished += 1
                self._changed.notify_all()

    def settle(self, patience_s: float = float("inf")) -> None:
        """Wait until every message admitted before this call is delivered or has failed.

        After `patience_s` seconds in which nothing was acknowledged, all of them have failed.
        Raises DeliveryError with all failures so far.
        """
        with self._changed:
            last = self._admitted
            # Each message has a deadline, so this ends.
            while (first := next(iter(self._waiting), last + 1)) <= last:
                if not self._wait(partial(self._moved, self._finished), patience_s):
                    error = TimeoutError(f"nothing was acknowledged for {patience_s:g} s")
                    for number in [each for each in self._waiting if first <= each <= last]:
                        self.failed(number, error)
            self._report()

    def _moved(self, finished: int) -> bool:
        return self._finished != finished

    def _fits(self, message: Message) -> bool:
        # A message that is larger than the buffer waits until it is alone.
        return not self._held_bytes or self._held_bytes + message.size <= self._max_bytes

    def _wait(self, done: Callable[[], bool], timeout_s: float) -> bool:
        end = self._clock() + timeout_s
        while not done():
            now = self._clock()
            number, (_, deadline) = next(iter(self._waiting.items()))
            if deadline <= now:
                self.failed(number, TimeoutError(f"no acknowledgement for {self._timeout_s:g} s"))
            elif end <= now:
                return False
            else:
                self._changed.wait(min(end, deadline) - now)
        return True

    def _report(self) -> None:
        if self._failures:
            failures, self._failures = self._failures, []
            self._held_bytes -= sum(failure.message.size for failure in failures)
            raise DeliveryError(failures)
