"""Where to start reading a partition: the committed offset, or what the stage says."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from queue import SimpleQueue
from typing import Any

from kaption.connections.errors import Retry
from kaption.connections.kafka.messages import Partition
from kaption.workers.runtime.backoff import Backoff, Stopped
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Stage
from kaption.workers.runtime.stage_thread import StageThread

Done = Callable[[Partition, int, int | BaseException], None]


class Resumption:
    """Asks `Stage.resume` on a thread of its own, because it may read a store and wait for it.

    The public methods belong to the poll thread. The library's own look at the committed offset
    does not do: it cannot tell an offset that was committed for an earlier topic of the same name.
    """

    def __init__(
        self, stage: Stage[Any, Any], session: Session, backoff: Backoff, timeout_s: float
    ) -> None:
        """`timeout_s` limits each question to the broker."""
        self._stage = stage
        self._session = session
        self._backoff = backoff
        self._timeout_s = timeout_s
        self._work: SimpleQueue[tuple[Partition, int] | None] = SimpleQueue()
        self._done: Done = lambda partition, epoch, start: None
        self._thread = StageThread(target=self._run, name=f"{stage.name}-resume", daemon=True)
        self.asked: dict[Partition, int] = {}
        """The partitions whose start is not known yet, with the epoch of the question. They stay
        paused."""

    def start(self, done: Done) -> None:
        """Start the thread. `done` gets partition, epoch, and the first offset or the error."""
        self._done = done
        self._thread.start()

    def ask(self, partition: Partition, epoch: int) -> None:
        """Find the start of a newly assigned partition."""
        self.asked[partition] = epoch
        self._work.put((partition, epoch))

    def forget_all_but(self, owned: Collection[Partition]) -> None:
        """Drop questions about partitions that are no longer assigned."""
        self.asked = {p: epoch for p, epoch in self.asked.items() if p in owned}

    def stop(self) -> None:
        """Let the thread end after the question it is at."""
        self._work.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` seconds for the thread to end."""
        if self._thread.ident is not None:
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
        topic, number = partition
        try:
            self._session.topic_ids.check([topic], patient=False)
            committed = self._session.committed([partition], self._timeout_s)[partition]
            if committed is None:
                committed = self._session.log_start(partition, self._timeout_s)
        except self._session.errors as error:
            why = self._session.told(error)
            raise Retry(f"reading the committed offset of {topic}/{number}: {why}") from error
        return self._stage.resume(topic, number, committed, self._session.topic_ids.of(topic))
