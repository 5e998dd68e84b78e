"""One run of the whole pipeline: publish, wait for every outcome, close the shards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from rich.console import Console
from rich.live import Live

from kaption.connections.kafka.topics import TopicAdmin
from kaption.consumers import Read
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.open import open_store
from kaption.producers.sources import Item
from kaption.schemas import TOPICS
from kaption.workers.batch.feeder import Feeder
from kaption.workers.batch.report import RunReport, progress_line, progress_table
from kaption.workers.batch.standstill import Standstill
from kaption.workers.batch.tally import Follower
from kaption.workers.runtime.pipeline import Pipeline
from kaption.workers.settings import Settings
from kaption.workers.wiring import STAGES, build_worker

_LOOK_S = 0.25
_PARTITIONS = 4
"""Partitions of each topic. One worker reads them all. With few partitions the shards stay large;
with more than one a slow image holds up a part of the pairs only."""
_LINE_S = 5.0
"""Seconds between two progress lines, where the console is not a terminal."""


class BatchRun:
    """Runs all stages in this process over `items`.

    The run ends when every item has an outcome, or when the stages have nothing left to do although
    some items have none (see `Standstill`). `on_read` is called with every message of pairs.clean,
    pairs.rejected and pairs.dead.
    """

    def __init__(
        self,
        settings: Settings,
        items: Iterable[Item],
        on_read: Callable[[Read], None],
        console: Console,
    ) -> None:
        self._settings = settings
        self._console = console
        self._workers = {name: build_worker(name, settings) for name in STAGES}
        self._pipeline = Pipeline(self._workers)
        self._feeder = Feeder(settings.kafka, settings.store, items, console.print)
        self._follower = Follower(settings.kafka, on_read)
        progress = {name: worker.progress for name, worker in self._workers.items()}
        sink = {"sink": progress.pop("sink")}
        self._judging = Standstill(settings.kafka, progress)
        self._sinking = Standstill(settings.kafka, sink)

    def run(self) -> RunReport:
        """Run once. Raises the error that stops a worker, the feeder or the follower."""
        started = time.monotonic()
        with TopicAdmin(self._settings.kafka) as admin:
            admin.create([replace(topic, partitions=_PARTITIONS) for topic in TOPICS])
        try:
            self._pipeline.start()
            self._follower.start()
            self._feeder.start()
            self._watch(self._all_judged)
            self._watch(self._all_at_sink)
        except BaseException:
            # Also on Ctrl-C: the run's servers stop next, and their clients must stop before them.
            self._pipeline.abandon()
            raise
        # The sink closes its last, partly filled shards when it stops.
        self._pipeline.stop()
        self._pipeline.join()
        self._follower.finish()
        return self._report(time.monotonic() - started)

    def _all_judged(self) -> bool:
        judged = self._follower.tally.total
        return self._feeder.done and (
            judged >= self._feeder.published or self._judging.reached(judged)
        )

    def _all_at_sink(self) -> bool:
        sink = self._workers["sink"].progress.snapshot()
        there = sink.records + sink.held
        return there >= self._follower.tally.clean or self._sinking.reached(there)

    def _watch(self, reached: Callable[[], bool]) -> None:
        next_line = time.monotonic() + _LINE_S
        with Live(console=self._console, refresh_per_second=4, transient=True) as live:
            while not reached():
                self._raise_failures()
                snapshots = {
                    name: worker.progress.snapshot() for name, worker in self._workers.items()
                }
                if self._console.is_terminal:
                    live.update(progress_table(self._feeder.published, snapshots))
                elif time.monotonic() >= next_line:
                    self._console.print(progress_line(self._feeder.published, snapshots))
                    next_line += _LINE_S
                self._pipeline.failed.wait(_LOOK_S)

    def _raise_failures(self) -> None:
        if self._pipeline.failed.is_set():
            self._pipeline.stop()
            self._pipeline.join()
        for thread in (self._feeder, self._follower):
            if thread.error is not None:
                raise thread.error

    def _report(self, seconds: float) -> RunReport:
        tally = self._follower.tally
        store = open_store(self._settings.store)
        manifests = read_manifests(store, self._settings.sink.prefix)
        sunk = sum(manifest.pairs for manifest in manifests)
        faults = tally.faults(self._feeder.published)
        if sunk != tally.clean:
            faults.append(f"{tally.clean} clean pairs, but {sunk} in the shards")
        return RunReport(
            published=self._feeder.published,
            unreadable=self._feeder.unreadable,
            not_understood=self._feeder.not_understood,
            seconds=seconds,
            tally=tally,
            shards=len(manifests),
            faults=tuple(faults),
        )
