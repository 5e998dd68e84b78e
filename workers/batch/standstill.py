"""Decides when a run need not wait any longer for missing outcomes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from kaption.connections.settings import KafkaConnection
from kaption.consumers import ReadError, TopicReader
from kaption.workers.runtime.progress import Progress
from kaption.workers.wiring import STAGES

_PATIENCE_S = 15.0
"""Seconds without a new outcome before the stages are looked at, and again before the end."""


class Standstill:
    """Tells when the stages have done all they will do, although the count of outcomes is short.

    A stage that has read its input to the end and holds no record has committed all its outcomes.
    If this is true of every stage, looked at in the order of the flow, no outcome will come any
    more. The reader of outcomes then gets the same time again to read the last ones.

    The ends of the input come from the broker, because a worker that has not joined its group, or
    cannot reach the broker, believes that it has no lag. The positions come from the workers,
    because on Tansu the committed offsets stay before the last transaction's marker.
    """

    def __init__(
        self,
        kafka: KafkaConnection,
        stages: Mapping[str, Progress],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`stages` maps each stage, in the order of the flow, to the progress of its one worker."""
        self._kafka = kafka
        self._stages = stages
        self._clock = clock
        self._count: int | None = None
        self._since = 0.0
        self._done = False

    def reached(self, count: int) -> bool:
        """Whether the stages are done. `count` is the number of outcomes so far.

        Call it repeatedly, after the last input is published. It asks the broker only while the
        count stands still.
        """
        if count != self._count:
            self._count, self._since, self._done = count, self._clock(), False
        elif self._clock() - self._since >= _PATIENCE_S:
            if self._done:
                return True
            self._done, self._since = self._all_done(), self._clock()
        return False

    def _all_done(self) -> bool:
        if any(progress.held.records for progress in self._stages.values()):
            return False  # without asking the broker
        try:
            return all(self._is_done(*stage) for stage in self._stages.items())
        except ReadError:
            return False  # the workers meet the same fault: they wait for its end, or end the run

    def _is_done(self, stage: str, progress: Progress) -> bool:
        with TopicReader(self._kafka, STAGES[stage]) as reader:
            end = sum(reader.ends().values())
        now = progress.snapshot()
        return now.held == 0 and now.position >= end
