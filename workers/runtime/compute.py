"""The thread on which a stage processes its batches, and the batches that wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from typing import Any

from kaption.workers.runtime.backoff import Backoff, Stopped
from kaption.workers.runtime.bisection import Bisection
from kaption.workers.runtime.entry import Batch, Entry, current
from kaption.workers.runtime.outputs import Outputs
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.stage import Stage
from kaption.workers.runtime.stage_thread import StageThread

Done = Callable[[Batch, BaseException | None], None]


class Compute:
    """Processes one batch at a time, in the order they were put, and builds their messages.

    The public methods belong to the poll thread.
    """

    def __init__(
        self,
        stage: Stage[Any, Any],
        policy: RuntimePolicy,
        backoff: Backoff,
        outputs: Outputs,
        clock: Callable[[], float],
        wanted: Callable[[Entry], bool],
    ) -> None:
        """`wanted` says, on the compute thread, whether an entry is still to be processed."""
        self._bisection = Bisection(stage, policy, backoff)
        self._outputs = outputs
        self._clock = clock
        self._wanted = wanted
        self._queue = policy.compute_queue
        self._queued: list[Batch] = []
        self._handed: list[Batch] = []
        self._work: SimpleQueue[Batch | None] = SimpleQueue()
        self._done: Done = lambda batch, error: None
        self._thread = StageThread(target=self._run, name=f"{stage.name}-compute", daemon=True)

    def start(self, done: Done) -> None:
        """Start the thread. It calls `done` with each batch, and the error that ends the worker."""
        self._done = done
        self._thread.start()

    def put(self, batches: Iterable[Batch]) -> None:
        """Queue full batches, and hand the thread as many as it may have."""
        self._queued.extend(batches)
        while self._queued and len(self._handed) < self._queue:
            batch = self._queued.pop(0)
            self._handed.append(batch)
            self._work.put(batch)

    def finished(self, batch: Batch) -> None:
        """Take note that `done` has brought a batch back."""
        self._handed.remove(batch)

    def give_up_queued(self) -> None:
        """Forget the batches that the thread does not have yet."""
        self._queued.clear()

    @property
    def batches(self) -> Sequence[Batch]:
        """All batches that are queued, in work, or on their way back."""
        return [*self._queued, *self._handed]

    @property
    def limit(self) -> int | None:
        """Records in the largest batch that fits the device, if one had to be halved."""
        return self._bisection.limit

    def stop(self) -> None:
        """Let the thread end after the batches it has."""
        self._work.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` seconds for the thread to end. Returns whether it did."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (batch := self._work.get()) is not None:
            try:
                self._process(batch)
            except Stopped:
                # The batch is given up, not failed: it is not committed and comes again.
                batch.entries, batch.left = [], batch.left + batch.entries
            except BaseException as error:  # noqa: BLE001 - the worker raises it from run()
                self._done(batch, error)
                continue
            self._done(batch, None)

    def _process(self, batch: Batch) -> None:
        # Another worker may own a partition by now, and processes its entries.
        wanted: list[Entry] = []
        for entry in batch.entries:
            (wanted if self._wanted(entry) else batch.left).append(entry)
        batch.entries = wanted
        began, since = self._clock(), time.time_ns()
        self._bisection.run(batch.entries)
        current.entry = None
        batch.seconds = self._clock() - began
        self._outputs.build_batch(batch, since)
