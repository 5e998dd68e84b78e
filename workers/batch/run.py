"""One run of the whole pipeline: publish, wait for every outcome, close the shards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from rich.console import Console

from kaption.connections.errors import Fault
from kaption.connections.kafka.topics import TopicAdmin
from kaption.consumers import Read
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.open import open_store
from kaption.producers.sources import Found
from kaption.schemas import TOPICS, CleanPair, DeadLetter, RejectedPair
from kaption.workers.batch.feeder import Feeder
from kaption.workers.batch.journal import Journal
from kaption.workers.batch.progress import Display
from kaption.workers.batch.report import RunReport
from kaption.workers.batch.standstill import Standstill
from kaption.workers.batch.tally import Follower, origin_of_read
from kaption.workers.runtime.pipeline import Pipeline
from kaption.workers.settings import Settings, UserError
from kaption.workers.wiring import STAGES, build_worker

_LOOK_S = 0.25
_WAIT_S = 60.0
"""A stage that waits longer than this for one server or disk ends the run: nobody may be there to
see it, and the same command goes on."""
_READ_S = 5.0
"""After Ctrl-C, time for the sink to read what is clean."""
_PARTITIONS = 4
"""Partitions of each topic. One worker reads them all. With few partitions the shards stay large;
with more than one a slow image holds up a part of the pairs only."""
_WITH_MODELS = ("score", "recaption", "select")


class BatchRun:
    """Runs all stages in this process over `items`.

    The run ends when every item has an outcome, or when the stages have nothing left to do although
    some items have none (see `Standstill`). `on_read` is called with every message of pairs.clean,
    pairs.rejected and pairs.dead.
    """

    def __init__(
        self,
        settings: Settings,
        items: Iterable[Found],
        journal: Journal,
        console: Console,
        on_read: Callable[[Read], None] = lambda read: None,
    ) -> None:
        self._settings = settings
        self._console = console
        self._workers = {name: build_worker(name, settings) for name in STAGES}
        sink_stage: Any = self._workers["sink"].stage
        sink_stage.first_chain = _PARTITIONS * (journal.attempt - 1)
        self._journal = journal
        self._pipeline = Pipeline(self._workers)
        tally = journal.known(settings)
        self._earlier, self._clean_before = tally.total, tally.clean
        self._feeder = Feeder(settings, items, journal, tally, self._say)

        self.gallery = journal.sampled()

        def seen(read: Read) -> None:
            journal.add(read)
            if isinstance(read.record, CleanPair | RejectedPair | DeadLetter):
                self.gallery.add(read.record, origin_of_read(read))
            on_read(read)

        self._follower = Follower(settings.kafka, tally, seen)
        progress = {name: worker.progress for name, worker in self._workers.items()}
        sink = {"sink": progress.pop("sink")}
        self._judging = Standstill(settings.kafka, progress)
        self._sinking = Standstill(settings.kafka, sink)
        self._waits: dict[str, tuple[int, float]] = {}
        self._closing = False
        """Whether all stages were asked to finish, the sink with its last shards."""

    def run(self) -> RunReport:
        """Run once. Raises the error that stops a worker, the feeder or the follower.

        At Ctrl-C it raises KeyboardInterrupt, after it has written what is done.
        """
        if self._earlier:
            self._say(f"going on: {self._earlier} inputs have their outcome already")
        for name in _WITH_MODELS:
            with self._console.status(f"loading the models of {name}"):
                self._workers[name].set_up()
        started = time.monotonic()
        with TopicAdmin(self._settings.kafka) as admin:
            admin.create([replace(topic, partitions=_PARTITIONS) for topic in TOPICS])
        self._journal.begin()
        try:
            self._pipeline.start()
            self._follower.start()
            self._feeder.start()
            with Display(self._console, self._earlier) as display:
                self._watch(self._all_judged, display)
                self._watch(self._all_at_sink, display)
            # The sink closes its last, partly filled shards when it stops.
            with self._console.status("writing the last shards"):
                self._closing = True
                self._pipeline.stop()
                self._pipeline.join()
            self._follower.finish()
            self._raise_failures()  # a full disk may take the last line of rejected.jsonl
            return self._report(time.monotonic() - started)
        except KeyboardInterrupt:
            self._interrupt(time.monotonic() - started)
            raise
        except BaseException:
            # The run's servers stop next, and their clients must stop before them.
            self._pipeline.abandon()
            raise

    def _interrupt(self, seconds: float) -> None:
        """Stop all stages at once, but let the sink write what it holds, and tell what is kept."""
        self._say("stopping: the sink writes what is ready; Ctrl-C again leaves it")
        self._feeder.stop()
        for name in self._workers.keys() - {"sink"}:
            self._workers[name].stop()
            self._workers[name].stop()
        end = time.monotonic() + _READ_S
        while time.monotonic() < end and not self._all_at_sink():
            time.sleep(_LOOK_S)
        if not self._closing:  # a second request would make it leave its last shards
            self._workers["sink"].stop()
        with suppress(Fault):
            self._pipeline.join()
        self._follower.finish()
        with suppress(OSError):  # a full disk: then the report shows fewer pairs
            self._journal.sample(self.gallery.cards())
        tally, kept = self._follower.tally, self._sunk()[0]
        of = f" of {self._feeder.published}" if self._feeder.done else ""
        self._say(
            f"stopped after {seconds:.0f} s. Kept: {kept} clean pairs in shards, "
            f"{tally.rejected.total()} rejected, {tally.dead.total()} dead{of}"
        )

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def _all_judged(self) -> bool:
        judged = self._follower.tally.total
        return self._feeder.done and (
            judged >= self._feeder.published or self._judging.reached(judged)
        )

    def _all_at_sink(self) -> bool:
        sink = self._workers["sink"].progress.snapshot()
        there = self._clean_before + sink.records + sink.held
        return there >= self._follower.tally.clean or self._sinking.reached(there)

    def _watch(self, reached: Callable[[], bool], display: Display) -> None:
        while not reached():
            self._raise_failures()
            stages = {name: worker.progress.snapshot() for name, worker in self._workers.items()}
            total = self._feeder.published if self._feeder.done else None
            display.show(self._follower.tally.total, total, self._feeder.published, stages)
            for name, now in stages.items():
                self._end_long_wait(name, now.records, now.waiting_for)
            self._pipeline.failed.wait(_LOOK_S)

    def _end_long_wait(self, stage: str, done: int, why: str | None) -> None:
        now = time.monotonic()
        before, since = self._waits.get(stage, (done, now))
        if why is None or done != before:
            before, since = done, now
        self._waits[stage] = before, since
        if now - since > _WAIT_S:
            raise UserError(
                f"{stage} has waited for {now - since:.0f} s: {why}. Repair that and give the same"
                " command, which goes on from here"
            )

    def _raise_failures(self) -> None:
        if self._pipeline.failed.is_set():
            self._pipeline.stop()
            self._pipeline.join()
        for thread in (self._feeder, self._follower):
            if thread.error is not None:
                raise thread.error

    def _sunk(self) -> tuple[int, int]:
        """Pairs in the shards, and shards."""
        manifests = read_manifests(open_store(self._settings.store), self._settings.sink.prefix)
        return sum(manifest.pairs for manifest in manifests), len(manifests)

    def _report(self, seconds: float) -> RunReport:
        tally = self._follower.tally
        sunk, shards = self._sunk()
        faults = tally.faults(self._feeder.published)
        if sunk < tally.clean:
            why = self._workers["sink"].progress.last_wait or "is its disk full?"
            raise UserError(
                f"the sink could not write {tally.clean - sunk} clean pairs ({why}). Repair that"
                " and give the same command, which goes on from here"
            )
        if sunk > tally.clean:
            faults.append(f"{tally.clean} clean pairs, but {sunk} in the shards")
        return RunReport(
            published=self._feeder.published,
            earlier=self._earlier,
            unreadable=self._feeder.unreadable,
            not_understood=self._feeder.not_understood,
            seconds=seconds,
            tally=tally,
            shards=shards,
            faults=tuple(faults),
        )
