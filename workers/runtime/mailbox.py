"""What the other threads report to the poll thread."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue


class Mailbox:
    """Calls to be made on the poll thread, in the order they were put."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def put(self, call: Callable[[], None]) -> None:
        """Have `call` made. Any thread."""
        self._calls.put(call)

    def work(self, wait_s: float) -> None:
        """Make the calls that are here, after waiting up to `wait_s` seconds for the first."""
        try:
            call = self._calls.get(timeout=wait_s) if wait_s > 0 else self._calls.get_nowait()
            while True:
                call()
                call = self._calls.get_nowait()
        except Empty:
            return
