"""Several workers in one process, a thread each: `kaption run` and `kaption work all`."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kaption.workers.runtime.worker import Worker

_log = logging.getLogger(__name__)
_LOOK_S = 0.5
# The garbage collector looks for cycles among all objects. Workers hold thousands of records and
# models hold millions of objects, so at Python's default it takes a quarter of the time of a stage
# that does little else.
_COLLECT_AFTER = (50_000, 20, 50)


class Pipeline:
    """Runs workers until they are stopped or the first one fails.

    A failed worker does not stop the others: the caller waits on `failed` and decides. Each error
    is told once: `join` raises the first one, and later ones are logged.
    """

    def __init__(self, workers: Mapping[str, Worker]) -> None:
        self._workers = dict(workers)
        self._errors: dict[str, BaseException] = {}
        self._lock = threading.Lock()
        self.failed = threading.Event()
        self._threads = {
            name: threading.Thread(target=self._run, args=(name, worker), name=f"worker-{name}")
            for name, worker in self._workers.items()
        }

    def start(self) -> None:
        """Start every worker."""
        gc.set_threshold(*_COLLECT_AFTER)
        for thread in self._threads.values():
            thread.start()

    def stop(self) -> None:
        """Ask all workers to finish gracefully."""
        for worker in self._workers.values():
            worker.stop()

    def abandon(self) -> None:
        """Stop all workers at once. Work that is not committed comes again. Raises nothing."""
        self.stop()
        self.stop()
        for thread in self._threads.values():
            if thread.ident is not None:
                thread.join()

    def join(self) -> None:
        """Wait for all workers, then raise the first error."""
        for thread in self._threads.values():
            thread.join()
        for error in self._errors.values():  # in the order in which they came
            raise error

    def wait(self) -> None:
        """Wait for all workers. If one fails, stop the others and raise its error."""
        while any(thread.is_alive() for thread in self._threads.values()):
            if self.failed.wait(_LOOK_S):
                self.stop()
                break
        self.join()

    def _run(self, name: str, worker: Worker) -> None:
        try:
            worker.run()
        except BaseException as error:  # noqa: BLE001  # raised again by join, in the caller's thread
            with self._lock:
                first = not self._errors
                self._errors[name] = error
            if not first:
                _log.error("worker gave up as well", extra={"stage": name, "error": str(error)})
            self.failed.set()
