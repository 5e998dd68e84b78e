"""Where to start a partition, for a stage whose truth lies outside Kafka."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

from kaption.connections.errors import Retry
from kaption.connections.kafka.messages import Partition
from kaption.workers.runtime.backoff import Backoff, Stopped
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Stage


class Resumption:
    """Asks the stage on a thread of its own: it may read a store, which the poll thread must not
    wait for. The partition is paused meanwhile.
    """

    def __init__(
        self,
        stage: Stage[Any, Any],
        session: Session,
        backoff: Backoff,
        timeout_s: float,
        done: Callable[[Partition, int, int | BaseException], None],
    ) -> None:
        """`done` gets partition, epoch and the start, or the error that ends the worker."""
        self._stage = stage
        self._session = session
        self._backoff = backoff
        self._timeout_s = timeout_s
        self._done = done
        self._work: SimpleQueue[tuple[Partition, int] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=f"{stage.name}-resume", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask(self, partition: Partition, epoch: int) -> None:
        """Find the start of a newly assigned partition."""
        self._work.put((partition, epoch))

    def stop(self) -> None:
        """Let the thread end after what it is at."""
        self._work.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end, at most `timeout_s` seconds."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (asked := self._work.get()) is not None:
            partition, epoch = asked
            try:
                start = self._backoff.call(partial(self._start, partition))
                self._done(partition, epoch, start)
            except Stopped:
                continue
            except BaseException as error:  # noqa: BLE001 - the worker raises it from run()
                self._done(partition, epoch, error)

    def _start(self, partition: Partition) -> int:
        try:
            committed = self._session.committed([partition], self._timeout_s)[partition]
            if committed is None:
                committed = self._session.log_start(partition, self._timeout_s)
        except self._session.errors as error:
            raise Retry(f"reading the committed offset of {partition}: {error!r}") from error
        return self._stage.resume(partition.topic, partition.partition, committed)
