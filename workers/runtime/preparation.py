"""The pool of threads that decodes and prepares records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

from kaption.connections.errors import Fatal
from kaption.schemas.pair import RawPair
from kaption.schemas.topics import Topic
from kaption.schemas.wire import WireError, decode, origin_of
from kaption.workers.runtime import metrics
from kaption.workers.runtime.backoff import Backoff, Stopped
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.stage import Dead, Emit, Incoming, Reject, Stage

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
        self._work: SimpleQueue[Sequence[Entry] | None] = SimpleQueue()
        self._threads = [
            Thread(target=self._run, name=f"{stage.name}-prepare-{n}", daemon=True)
            for n in range(policy.prepare_threads)
        ]

    def start(self, done: Done) -> None:
        """Start the threads. They call `done` with each chunk of entries once it is ready.

        With it comes Stopped if a stop ended its preparation, or the error that ends the worker.
        """
        self._done = done
        for thread in self._threads:
            thread.start()

    def submit(self, entries: Sequence[Entry]) -> None:
        """Queue entries, in chunks that take about `prepare_chunk_s` each. Poll thread."""
        wanted = int(self._policy.prepare_chunk_s / max(self._seconds, 1e-9))
        size = max(1, min(_LARGEST_CHUNK, wanted))
        for start in range(0, len(entries), size):
            self._work.put(entries[start : start + size])

    def stop(self) -> None:
        """Let every thread end after the chunk it is at."""
        for _ in self._threads:
            self._work.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` seconds, for all threads together, until they have ended."""
        deadline = self._clock() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock()))

    def _run(self) -> None:
        while (chunk := self._work.get()) is not None:
            try:
                began = self._clock()
                for entry in chunk:
                    self._prepare(entry)
                # Threads race here and may lose an update. It only sets the size of later chunks.
                mean = (self._clock() - began) / len(chunk)
                self._seconds += 0.1 * (mean - self._seconds)
                self._done(chunk, None)
            except BaseException as error:  # noqa: BLE001 - the worker raises it from run()
                self._done(chunk, error)

    def _prepare(self, entry: Entry) -> None:
        self._decode(entry)
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
            except (Fatal, Stopped):
                raise
            except Exception as error:  # noqa: BLE001 - counted, and told in the dead letter
                entry.attempts += 1
                if entry.attempts >= self._policy.attempts:
                    entry.die(f"{type(error).__name__}: {error}", unexpected=True)
        entry.ready = True

    def _decode(self, entry: Entry) -> None:
        raw, position = entry.raw, entry.position
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
