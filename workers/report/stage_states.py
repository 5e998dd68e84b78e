"""The state of each stage, once or again and again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from kaption.connections.kafka.counts import RecordCounts
from kaption.connections.kafka.lag import GroupProgress, LagReader
from kaption.workers.report.worker_pages import ToldByWorkers, WorkerPages
from kaption.workers.settings import Settings
from kaption.workers.wiring import STAGES


@dataclass(frozen=True, slots=True)
class StageState:
    """What one stage has done, and what is left."""

    stage: str
    done: int
    """Records that are done and still in the topic."""
    lag: int
    """Records to do."""
    exact: bool
    """Whether each of these records was seen. Else both numbers are estimates."""
    rate: float | None
    """Records done in a second, over the last interval. None: there was no interval yet."""
    told: ToldByWorkers | None
    """What the stage's workers told; None: none of them answered."""

    @property
    def left_s(self) -> float | None:
        """Seconds until the lag is done, at the present rate. None: not known, or never."""
        if not self.lag:
            return 0.0
        return self.lag / self.rate if self.rate else None


class StageStates:
    """Looks at all stages. A context manager.

    Each call raises TopicError, and Fatal where the broker refuses this client; the constructor
    also KafkaError and UserError.
    """

    def __init__(self, settings: Settings, recent: int, workers: Iterable[str]) -> None:
        """`recent`: offsets of each topic whose records are counted one by one."""
        kafka = settings.kafka
        self._groups = {
            name: (kafka.topic_prefix + name, inputs) for name, inputs in STAGES.items()
        }
        self._lags = LagReader(kafka)
        self._counts = RecordCounts(kafka, recent)
        self.pages = WorkerPages(workers)
        self._before: tuple[float, dict[str, GroupProgress]] | None = None

    def look(self) -> list[StageState]:
        """The state now. Rates are those since the last look."""
        now = time.monotonic()
        found = {name: self._lags.progress(*group) for name, group in self._groups.items()}
        self._counts.look(found.values())
        told = self.pages.look()
        states = [self._state(name, group, now, told.get(name)) for name, group in found.items()]
        self._before = now, found
        return states

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._lags.__exit__()
        self._counts.__exit__()

    def _state(
        self, name: str, group: GroupProgress, now: float, told: ToldByWorkers | None
    ) -> StageState:
        done, seen = self._counts.done(group)
        lag, all_seen = self._counts.lag(group)
        rate = None
        if self._before is not None:
            then, before = self._before
            rate = max(0, done - self._counts.done(before[name])[0]) / max(now - then, 0.001)
        return StageState(name, done, lag, seen and all_seen, rate, told)
