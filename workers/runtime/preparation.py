"""The threads that decode and prepare records."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Any

from kaption.connections.errors import Fatal
from kaption.connections.kafka.unreadable import PassedOver
from kaption.schemas.pair import RawPair
from kaption.schemas.topics import Topic
from kaption.schemas.wire import WireError, decode, origin_of
from kaption.workers.runtime import metrics
from kaption.workers.runtime.backoff import Backoff, Stopped
from kaption.workers.runtime.entry import Entry, current
from kaption.workers.runtime.lanes import SPARE_THREADS, Lanes
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.stage import Dead, Emit, Incoming, Later, Reject, Stage
from kaption.workers.runtime.stage_thread import StageThread

_LARGEST_CHUNK = 64

Done = Callable[[Sequence[Entry], BaseException | None], None]


class Preparation:
    """Decodes consumed entries and calls `Stage.prepare`, for many at a time and in any order.

    The threads are daemons. Those of concurrent.futures are joined when the process ends, so one
    record that hangs would keep an abandoned worker alive.
    """

    def __init__(
        self,
        stage: Stage[Any, Any],
        topics: Mapping[str, Topic],
        policy: RuntimePolicy,
        backoff: Backoff,
        clock: Callable[[], float],
    ) -> None:
        """`topics` are the stage's inputs by their full name; `clock` gives monotonic seconds."""
        self._stage = stage
        self._topics = topics
        self._policy = policy
        self._backoff = backoff
        self._clock = clock
        self._done: Done = lambda chunk, error: None
        self._sized = stage.batching.max_bytes is not None
        self._seconds = policy.prepare_chunk_s
        self._lanes = Lanes(policy.prepare_threads, stage.lane_width, clock)
        self._threads: list[StageThread] = []
        self._starting = Lock()

    def start(self, done: Done) -> None:
        """Start the threads. They call `done` with each chunk of entries once it is ready.

        With it comes Stopped if a stop ended its preparation, or the error that ends the worker.
        """
        self._done = done
        # One thread more than may work looks whether a thread is slow, and takes its place.
        for _ in range(self._policy.prepare_threads + 1):
            self._start_thread()

    def submit(self, entries: Sequence[Entry]) -> None:
        """Queue entries, in chunks that take about `prepare_chunk_s` each. Poll thread."""
        wanted = int(self._policy.prepare_chunk_s / max(self._seconds, 1e-9))
        size = max(1, min(_LARGEST_CHUNK, wanted))
        for start in range(0, len(entries), size):
            self._lanes.put(entries[start : start + size])

    @property
    def waiting(self) -> int:
        """Entries whose preparation waits for a foreign server."""
        return self._lanes.waiting

    def stop(self) -> None:
        """Let every thread end after the task it is at."""
        self._lanes.stop()

    def join(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` seconds, for all threads together, until they have ended."""
        deadline = self._clock() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock()))

    def _start_thread(self) -> None:
        with self._starting:
            number = len(self._threads)
            if number < self._policy.prepare_threads + SPARE_THREADS:
                name = f"{self._stage.name}-prepare-{number}"
                self._threads.append(StageThread(target=self._run, name=name, daemon=True))
                self._threads[-1].start()

    def _run(self) -> None:
        while (taken := self._lanes.take()) is not None:
            task, last = taken
            if last:
                self._start_thread()
            chunk = task.entries
            try:
                began = self._clock()
                alone = len(chunk) == 1
                prepared = [entry for entry in chunk if self._advance(entry, task.lane, alone)]
                if task.lane is None and len(prepared) == len(chunk):
                    # Threads race here and may lose an update. It only sets the size of later
                    # chunks.
                    mean = (self._clock() - began) / len(chunk)
                    self._seconds += 0.1 * (mean - self._seconds)
                if prepared:
                    self._done(prepared, None)
            except BaseException as error:  # noqa: BLE001 - the worker raises it from run()
                self._done(chunk, error)

    def _advance(self, entry: Entry, lane: str | None, alone: bool) -> bool:
        """Prepare one entry, in its lane. Returns whether it is ready; otherwise it comes again.

        `alone`: no other entry of its chunk waits for this one.
        """
        if entry.message is None:
            if self._policy.tracing:
                entry.since = time.time_ns()
            self._decode(entry)
        if lane is None and entry.message is not None:
            lane = self._stage.lane(entry.message)
            if lane is not None and not self._lanes.enter(lane, entry, here=alone):
                return False
        try:
            self._prepare(entry)
        except Later as later:
            self._lanes.later(entry, later.lane or lane, later.after_s)
        finally:
            current.entry = None
            if lane is not None:
                self._lanes.leave(lane, well=entry.ready and entry.outcome is None)
        return entry.ready

    def _prepare(self, entry: Entry) -> None:
        current.entry = entry
        while entry.outcome is None:
            try:
                assert entry.message is not None
                message = entry.message
                entry.prepared = self._backoff.call(partial(self._stage.prepare, message))
                if self._sized:
                    entry.size = self._stage.size_of(message, entry.prepared)
                break
            except (Reject, Dead) as outcome:
                entry.outcome = outcome
            except (Fatal, Stopped, Later):
                raise
            except Exception as error:  # noqa: BLE001 - counted, and told in the dead letter
                entry.attempts += 1
                if entry.attempts >= self._policy.attempts:
                    entry.die(f"{type(error).__name__}: {error}", unexpected=True)
        entry.ready = True

    def _decode(self, entry: Entry) -> None:
        raw, position = entry.raw, entry.position
        if isinstance(raw, PassedOver):
            entry.die(f"the batch that ends here cannot be read: {raw.why}", unexpected=False)
            return
        topic = self._topics[raw.topic]
        if raw.value is None and topic.cleanup_policy == "compact":
            # A tombstone says that its key's record was withdrawn. No stage has work with it.
            entry.outcome = Emit(())
            return
        try:
            record = decode(raw.value, topic.record, raw.headers)
            origin = origin_of(raw.headers, position)
        except WireError as error:
            entry.die(str(error), unexpected=False)
        else:
            entry.message = Incoming(record, origin, position)
            if isinstance(record, RawPair):
                for name in record.not_understood:
                    # Strangers write these names too: each label of its own would cost memory.
                    known = name if name in RawPair.model_fields else "other"
                    metrics.NOT_UNDERSTOOD.labels(known).inc()
