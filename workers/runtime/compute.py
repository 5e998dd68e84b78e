"""The thread on which a stage processes its batches."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

from kaption.workers.runtime.backoff import Stopped
from kaption.workers.runtime.bisection import Bisection
from kaption.workers.runtime.entry import Batch, Entry
from kaption.workers.runtime.outputs import Outputs


class Compute:
    """Processes one batch at a time, in the order they were put, and builds their messages."""

    def __init__(
        self,
        name: str,
        bisection: Bisection,
        outputs: Outputs,
        clock: Callable[[], float],
        wanted: Callable[[Entry], bool],
        done: Callable[[Batch | BaseException], None],
    ) -> None:
        """`wanted` says whether an entry is still to be processed; `done` gets each batch."""
        self._bisection = bisection
        self._outputs = outputs
        self._clock = clock
        self._wanted = wanted
        self._done = done
        self._work: SimpleQueue[Batch | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=f"{name}-compute", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, batch: Batch) -> None:
        """Queue a batch."""
        self._work.put(batch)

    def stop(self) -> None:
        """Let the thread end after the batches it has."""
        self._work.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end; whether it did within `timeout_s` seconds."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (batch := self._work.get()) is not None:
            try:
                self._process(batch)
            except Stopped:
                # Given up, not failed: it is not committed and comes again.
                batch.entries, batch.left = [], batch.left + batch.entries
            except BaseException as error:  # noqa: BLE001 - the worker raises it from run()
                self._done(error)
                continue
            self._done(batch)

    def _process(self, batch: Batch) -> None:
        # Work for partitions that went to somebody else while the batch waited would be wasted.
        wanted: list[Entry] = []
        for entry in batch.entries:
            (wanted if self._wanted(entry) else batch.left).append(entry)
        batch.entries = wanted
        began = self._clock()
        self._bisection.run(batch.entries)
        batch.seconds = self._clock() - began
        for entry in batch.entries:
            self._outputs.build(entry)
            entry.prepared = None
