"""The end of a wait for something that does not come any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from kaption.connections.settings import KafkaConnection
from kaption.consumers import ReadError, TopicReader
from kaption.workers.runtime.progress import Progress
from kaption.workers.wiring import STAGES

_PATIENCE_S = 15.0


class Standstill:
    """Tells when `stages` have done all they will, though a count of it says otherwise.

    A stage that has read its input to the end, and holds nothing of it, has committed what came of
    it. Where that holds for all, looked at in the order of the flow, nothing comes any more; and
    who counts is given as long again to read what came last. The ends are the broker's: a worker
    that has not joined, or cannot reach it, believes that it lags behind nothing. The positions
    are the workers': on Tansu the committed ones stay before the last transaction's marker.
    """

    def __init__(
        self,
        kafka: KafkaConnection,
        stages: Mapping[str, Progress],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`stages`, in the order of the flow, with their only workers."""
        self._kafka = kafka
        self._stages = stages
        self._clock = clock
        self._count: int | None = None
        self._since = 0.0
        self._done = False

    def reached(self, count: int) -> bool:
        """To be asked again and again, from when nothing new comes to the first stage.

        It looks only while the count stands still.
        """
        if count != self._count:
            self._count, self._since, self._done = count, self._clock(), False
        elif self._clock() - self._since >= _PATIENCE_S:
            if self._done:
                return True
            self._done, self._since = self._all_done(), self._clock()
        return False

    def _all_done(self) -> bool:
        if any(progress.held for progress in self._stages.values()):
            return False  # and the broker need not be asked
        try:
            return all(self._is_done(*stage) for stage in self._stages.items())
        except ReadError:
            return False  # the workers wait for the broker, and so does the run

    def _is_done(self, stage: str, progress: Progress) -> bool:
        with TopicReader(self._kafka, STAGES[stage]) as reader:
            end = sum(reader.ends().values())
        now = progress.snapshot()
        return now.held == 0 and now.position >= end
