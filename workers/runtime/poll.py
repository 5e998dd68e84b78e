"""The poll thread: everything between Kafka and the other threads, step by step."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from kaption.connections.errors import Retry
from kaption.connections.kafka.messages import Partition
from kaption.schemas.topics import Topic
from kaption.workers.runtime import metrics
from kaption.workers.runtime.backoff import Backoff
from kaption.workers.runtime.batcher import Batcher
from kaption.workers.runtime.bisection import Bisection
from kaption.workers.runtime.compute import Compute
from kaption.workers.runtime.dead_letter_rate import DeadLetterRate
from kaption.workers.runtime.delivery import Delivery
from kaption.workers.runtime.entry import Batch, Consumed, Entry, Held
from kaption.workers.runtime.idle import IdlePositions
from kaption.workers.runtime.outputs import Outputs
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.preparation import Preparation
from kaption.workers.runtime.progress import Progress
from kaption.workers.runtime.resumption import Resumption
from kaption.workers.runtime.session import Session
from kaption.workers.runtime.stage import Stage


class Mailbox:
    """Calls to be made on the poll thread, in the order they were put."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def put(self, call: Callable[[], None]) -> None:
        """Have `call` made. Any thread."""
        self._calls.put(call)

    def work(self, wait_s: float) -> None:
        """Make the calls that are here, after waiting up to `wait_s` seconds for the first."""
        try:
            call = self._calls.get(timeout=wait_s) if wait_s > 0 else self._calls.get_nowait()
            while True:
                call()
                call = self._calls.get_nowait()
        except Empty:
            return


# How long results of other threads may lie unseen while records could be read as well.
_BUSY_WAIT_S = 0.01
# While everything is paused: how often poll() is called for the membership's sake. A call costs
# the client's I/O thread several hundred microseconds, also for nothing.
_STILL_POLL_S = 0.05
_LARGEST_POLL = 1024
_GAUGES_S = 1.0


class Poll:
    """Its methods belong to the poll thread; the others report through its mailbox."""

    def __init__(
        self,
        stage: Stage[Any, Any],
        topics: Mapping[str, Topic],
        prefix: str,
        session: Session,
        policy: RuntimePolicy,
        progress: Progress,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        random_source: random.Random,
    ) -> None:
        """`topics`: the stage's inputs by their name with `prefix`."""
        self._name = stage.name
        self._batching = batching = stage.batching
        self._session = session
        self._policy = policy
        self._progress = progress
        self._clock = clock
        self._mailbox = mailbox = Mailbox()
        self._held = Held()
        self._batcher = Batcher(batching, clock)
        self._idle = IdlePositions(session, policy.idle_commit_s, clock)
        backoff = Backoff(policy, random_source, lambda: self._drained_at is not None, self._retry)
        outputs = Outputs(stage, prefix, now, random_source)
        self._delivery = Delivery(
            stage.name,
            session,
            outputs,
            DeadLetterRate(policy, clock),
            policy,
            clock,
            mailbox.put,
            self._release,
            self._idle.committed,
        )
        self._preparation = Preparation(
            stage, topics, policy, backoff, clock, self._later(self._prepared)
        )
        self._bisection = Bisection(stage, policy, backoff)
        self._compute = Compute(
            stage.name,
            self._bisection,
            outputs,
            clock,
            self._wanted,
            self._later(self._computed),
        )
        self._resumption = (
            Resumption(
                stage, session, backoff, policy.request_timeout_s, self._later(self._resumed)
            )
            if type(stage).resume is not Stage.resume
            else None
        )
        self._full: list[Batch] = []
        self._in_compute: list[Batch] = []
        self._resuming: dict[Partition, int] = {}
        self._changes = 0
        self._paused: tuple[frozenset[Partition], int] | None = None
        self._drained_at: float | None = None
        self._full_up = False
        self._polled_at = 0.0
        self._gauges_at = clock()

    def start(self) -> None:
        """Start the other threads. Any thread."""
        for part in (self._preparation, self._compute, self._resumption):
            if part is not None:
                part.start()

    def step(self) -> None:
        """One round. Raises Fatal, what another thread raised, or KafkaError."""
        room = self._room()
        still = self._pause(room)
        if not still or self._clock() - self._polled_at >= _STILL_POLL_S:
            records = self._session.poll(self._wait_s(still), max(1, min(room, _LARGEST_POLL)))
            self._polled_at = self._clock()
            self._follow_rebalance()
            self._take(records)
        self._mailbox.work(_STILL_POLL_S if still else 0.0)
        self._hand_on(room)
        self._delivery.step()
        if self._drained_at is None and self._delivery.free:
            # Later, what is given up is no longer held, and the position is behind it.
            idle = self._session.ownership.owned - self._held.partitions
            self._delivery.commit_positions(self._idle.moved(idle))
        self._show()

    def drain(self) -> None:
        """Read nothing more; what is in compute may end and be committed.

        Where a batch is one partition's shard, everything that was read is written too.
        """
        if self._drained_at is not None:
            return
        self._drained_at = self._clock()
        if not self._batching.per_partition:
            self._full.clear()

    @property
    def drained(self) -> bool:
        """Nothing more is to be committed, or the grace period is over."""
        if self._drained_at is None:
            return False
        if self._clock() - self._drained_at > self._policy.grace_s:
            return True
        if self._closing and (self._batcher.waiting_entries or self._batcher.open_entries):
            return False
        return not self._in_compute and not self._full and self._delivery.idle

    @property
    def _closing(self) -> bool:
        """Open shards are to be written before the worker ends."""
        return self._drained_at is not None and self._batching.per_partition

    def stop(self, timeout_s: float) -> bool:
        """End the other threads; whether the compute thread ended within `timeout_s`."""
        self._drained_at = self._drained_at or self._clock()
        parts = [part for part in (self._preparation, self._resumption) if part is not None]
        for part in (*parts, self._compute):
            part.stop()
        for part in parts:
            part.join(timeout_s)
        return self._compute.join(timeout_s)

    def _room(self) -> int:
        """How many more records may be read."""
        if self._drained_at is not None or self._held.bytes >= self._policy.prefetch_bytes:
            return 0
        ahead = 2 * self._batching.max_records
        if self._batching.per_partition:
            # A shard that is written or fills holds back nobody but its own partition.
            waiting, ahead = self._batcher.waiting_entries, min(ahead, _LARGEST_POLL)
        else:
            # A commit takes as long as dozens of records: meanwhile the next ones are on their way.
            delivered = min(self._delivery.records, self._policy.transaction_records)
            waiting = self._held.records - self._batcher.open_entries - delivered
        limit = ahead + self._policy.prepare_threads
        # Full until half empty: many polls for a few records each cost more than the records.
        room = limit - waiting
        self._full_up = room <= (limit // 2 if self._full_up else 0)
        return 0 if self._full_up else room

    def _wait_s(self, still: bool) -> float:
        """How long to wait for records."""
        busy = self._held.records > 0 or not self._delivery.open
        if self._session.joining or not (still or busy):
            # The answer to a JoinGroup is lost if it comes while nobody is in poll().
            return self._policy.poll_s
        return 0.0 if still else _BUSY_WAIT_S

    def _pause(self, room: int) -> bool:
        """Pause what must not be read; whether that is everything we have."""
        ownership = self._session.ownership
        owned, changes = ownership.owned, ownership.changes
        if room <= 0:
            wanted = owned
        elif self._batching.per_partition:
            writing = (batch.partition for batch in (*self._full, *self._in_compute))
            wanted = frozenset({*self._resuming, *filter(None, writing)})
        else:
            wanted = frozenset(self._resuming)
        if self._paused != (wanted, changes):
            self._session.pause_only(wanted)
            self._paused = (wanted, changes)
        return bool(owned) and wanted >= owned

    def _follow_rebalance(self) -> None:
        ownership = self._session.ownership
        changes = ownership.changes
        if changes == self._changes:
            return
        metrics.REBALANCES.labels(self._name).inc(changes - self._changes)
        self._changes = changes
        self._held.release(self._batcher.drop(lambda entry: not ownership.holds(entry)))
        owned = ownership.owned
        self._resuming = {p: epoch for p, epoch in self._resuming.items() if p in owned}
        for partition, epoch in ownership.take_fresh():
            if self._resumption is not None and partition in owned:
                self._resuming[partition] = epoch
                self._resumption.ask(partition, epoch)

    def _take(self, records: Mapping[Partition, Sequence[Consumed]]) -> None:
        if self._drained_at is not None:
            return
        owned = self._session.ownership.owned
        for topic_partition, messages in records.items():
            partition = Partition(*topic_partition)
            if partition not in owned or partition in self._resuming:
                continue
            epoch = self._session.ownership.epoch(partition)
            entries = [
                Entry(raw, partition, epoch, len(raw.value or b"") + len(raw.key or b""))
                for raw in messages
            ]
            self._held.add(entries)
            self._batcher.add(entries)
            self._preparation.submit(entries)

    def _hand_on(self, room: int) -> None:
        """Full batches to the compute thread, a few at a time."""
        if self._closing and not self._batcher.waiting_entries:
            self._batcher.close_open()
        if self._drained_at is None or self._batching.per_partition:
            self._full.extend(self._batcher.full())
        elsewhere = self._full or self._in_compute or self._batcher.waiting_entries
        if room <= 0 and self._drained_at is None and not elsewhere and self._delivery.idle:
            self._batcher.close_largest()
        while self._full and len(self._in_compute) < self._policy.compute_queue:
            batch = self._full.pop(0)
            self._in_compute.append(batch)
            self._compute.put(batch)

    def _prepared(self, chunk: Sequence[Entry] | BaseException) -> None:
        if isinstance(chunk, BaseException):
            raise chunk
        self._batcher.advance({entry.partition for entry in chunk})

    def _computed(self, batch: Batch | BaseException) -> None:
        if isinstance(batch, BaseException):
            raise batch
        self._in_compute.remove(batch)
        self._held.release(batch.left)
        if batch.entries:
            metrics.BATCH_SECONDS.labels(self._name).observe(batch.seconds)
            metrics.BATCH_RECORDS.labels(self._name).observe(len(batch.entries))
            metrics.BATCH_LIMIT.labels(self._name).set(self._bisection.limit or 0)
            self._delivery.add(batch.entries)

    def _resumed(self, partition: Partition, epoch: int, start: int | BaseException) -> None:
        if not self._resuming.get(partition) == epoch == self._session.ownership.epoch(partition):
            return  # also an error: it is the next owner's to meet
        if isinstance(start, BaseException):
            raise start
        self._session.seek(partition, start)
        del self._resuming[partition]

    def _wanted(self, entry: Entry) -> bool:
        """Whether a batch that is about to be processed still wants this entry. Any thread."""
        if self._drained_at is not None and not self._batching.per_partition:
            return False
        return self._session.ownership.holds(entry)

    def _release(self, entries: Sequence[Entry], committed: bool) -> None:
        self._held.release(entries)
        # Before the records are counted as done: nobody is to see them as both.
        self._progress.held = self._held.records
        if committed:
            self._progress.waiting_for = None
            self._progress.committed(entries)

    def _retry(self, error: Retry) -> None:
        """Count a wait. Any thread."""
        metrics.RETRIES.labels(self._name).inc()
        self._progress.waiting_for = str(error)

    def _show(self) -> None:
        now = self._clock()
        if now < self._gauges_at:
            return
        self._gauges_at = now + _GAUGES_S
        owned = self._session.ownership.owned
        lag = sum(self._session.lag().values())
        self._progress.held, self._progress.lag = self._held.records, lag
        self._progress.position = sum(filter(None, map(self._session.position, owned)))
        metrics.LAG.labels(self._name).set(lag)
        metrics.HELD_RECORDS.labels(self._name).set(self._held.records)
        metrics.HELD_BYTES.labels(self._name).set(self._held.bytes)

    def _later(self, call: Callable[..., None]) -> Callable[..., None]:
        """The same call, made on the poll thread."""
        return lambda *arguments: self._mailbox.put(partial(call, *arguments))
