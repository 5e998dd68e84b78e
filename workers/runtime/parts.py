"""The parts of one worker, between which its poll thread moves records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue

from kaption.workers.runtime.batcher import Batcher
from kaption.workers.runtime.compute import Compute
from kaption.workers.runtime.delivery import Delivery
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.preparation import Preparation
from kaption.workers.runtime.progress import Progress
from kaption.workers.runtime.resumption import Resumption
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Batching
from kaption.workers.runtime.stop import StopRequest
from kaption.workers.runtime.unreadable import UnreadablePlaces


class Mailbox:
    """Calls that other threads want made on the poll thread, in the order they were put."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def put(self, call: Callable[[], None]) -> None:
        """Have the poll thread make `call`. Any thread."""
        self._calls.put(call)

    def later(self, call: Callable[..., None]) -> Callable[..., None]:
        """A function for any thread that has the poll thread make `call` with its arguments."""
        return lambda *arguments: self.put(partial(call, *arguments))

    def work(self, wait_s: float) -> None:
        """Make all calls that are there. Wait up to `wait_s` seconds for the first one."""
        try:
            call = self._calls.get(timeout=wait_s) if wait_s > 0 else self._calls.get_nowait()
            while True:
                call()
                call = self._calls.get_nowait()
        except Empty:
            return


@dataclass(frozen=True, slots=True)
class Parts:
    """Put together by `Worker`, used by `Poll` and `Flow` on the poll thread."""

    batching: Batching
    policy: RuntimePolicy
    clock: Callable[[], float]
    stop: StopRequest
    session: Session
    mailbox: Mailbox
    preparation: Preparation
    batcher: Batcher
    compute: Compute
    delivery: Delivery
    resumption: Resumption
    unreadable: UnreadablePlaces
    progress: Progress
