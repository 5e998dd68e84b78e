"""The poll thread: it moves records between Kafka and the other threads, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kaption.connections.kafka.messages import Partition
from kaption.connections.kafka.unreadable import UnreadableBatch
from kaption.workers.runtime import metrics
from kaption.workers.runtime.backoff import Stopped
from kaption.workers.runtime.entry import Batch, Consumed, Entry
from kaption.workers.runtime.flow import Flow
from kaption.workers.runtime.parts import Parts

# While every partition is paused, poll() is called this often, only to stay in the group. A call
# costs the client's I/O thread several hundred microseconds even if it returns nothing.
_STILL_POLL_S = 0.05
_QUICK_CALL_S = 0.5


class Poll:
    """Its methods belong to the poll thread; other threads report through the mailbox."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._flow = Flow(parts)
        self._changes = 0
        self._polled_at = 0.0

    def start(self) -> None:
        """Start the other threads. Any thread."""
        parts, later = self._parts, self._parts.mailbox.later
        parts.preparation.start(later(self._prepared))
        parts.compute.start(later(self._computed))
        parts.resumption.start(later(self._resumed))

    def step(self) -> None:
        """One round. Raises Fatal, an error of another thread, or an error of the session."""
        parts = self._parts
        room = self._flow.room()
        still = self._flow.pause(room)
        if not still or parts.clock() - self._polled_at >= _STILL_POLL_S:
            records = self._read(still, room)
            self._polled_at = parts.clock()
            self._follow_rebalance()
            self._take(records)
        parts.mailbox.work(_STILL_POLL_S if still else 0.0)
        self._hand_on(room)
        # While records are held, a partition may wait for its turn behind what is buffered.
        held = parts.progress.held.records
        parts.unreadable.look(
            parts.session, parts.session.ownership.owned if held else self._flow.paused
        )
        parts.delivery.step()
        self._commit_idle_positions()
        parts.progress.show(parts.session, parts.clock())

    @property
    def drained(self) -> bool:
        """Whether a stop was asked and its work is done, or the grace period is over."""
        stop = self._parts.stop
        return stop.asked and (stop.seconds > self._parts.policy.grace_s or self.finished)

    @property
    def finished(self) -> bool:
        """Whether a worker that stops has nothing left to process or to commit."""
        parts = self._parts
        if self._closing and (parts.batcher.waiting_entries or parts.batcher.open_entries):
            return False
        return not parts.compute.batches and parts.delivery.idle

    def stop(self, timeout_s: float) -> bool:
        """End the other threads. Returns whether compute ended within `timeout_s` seconds.

        If it did, no batch is in `Stage.process`.
        """
        parts = self._parts
        for part in (parts.compute, parts.preparation, parts.resumption):
            part.stop()
        ended = parts.compute.join(timeout_s)
        # A `prepare` that waits for a web server is not waited for: nobody wants its result.
        for part in (parts.preparation, parts.resumption):
            part.join(_QUICK_CALL_S)
        return ended

    @property
    def _closing(self) -> bool:
        """Whether the worker stops and must write its open shards before it ends.

        Other stages leave the records they have read: those are not committed and come again.
        """
        return self._parts.stop.asked and self._parts.batching.per_partition

    def _read(self, still: bool, room: int) -> Mapping[Partition, Sequence[Consumed]]:
        parts, flow = self._parts, self._flow
        try:
            return parts.session.poll(flow.wait_s(still), flow.poll_records(room))
        except UnreadableBatch as error:
            parts.unreadable.met(error)
            return {}

    def _follow_rebalance(self) -> None:
        parts, ownership = self._parts, self._parts.session.ownership
        changes = ownership.changes
        if changes == self._changes:
            return
        metrics.REBALANCES.labels(parts.progress.stage).inc(changes - self._changes)
        self._changes = changes
        parts.progress.held.release(parts.batcher.drop(lambda entry: not ownership.holds(entry)))
        parts.resumption.forget_all_but(ownership.owned)
        for partition, epoch in ownership.take_fresh():
            if partition in ownership.owned:
                parts.resumption.ask(partition, epoch)

    def _take(self, records: Mapping[Partition, Sequence[Consumed]]) -> None:
        """Hand new records to preparation, and to the batcher, which keeps their order."""
        parts, ownership = self._parts, self._parts.session.ownership
        if parts.stop.asked:
            return  # their positions are not committed either
        owned = ownership.owned
        for topic_partition, messages in records.items():
            partition = Partition(*topic_partition)
            if partition not in owned or partition in parts.resumption.asked:
                continue
            epoch = ownership.epoch(partition)
            topic_id = parts.session.topic_ids.of(partition.topic)
            entries = [
                Entry(raw, partition, epoch, len(raw.value or b"") + len(raw.key or b""), topic_id)
                for raw in messages
            ]
            parts.progress.held.add(entries)
            parts.batcher.add(entries)
            parts.preparation.submit(entries)

    def _hand_on(self, room: int) -> None:
        parts = self._parts
        if parts.stop.asked and not self._closing:
            parts.compute.give_up_queued()
            return
        if self._closing and not parts.batcher.waiting_entries:
            parts.batcher.close_open()
        parts.compute.put(parts.batcher.full())
        elsewhere = parts.compute.batches or parts.batcher.waiting_entries
        if room <= 0 and not parts.stop.asked and not elsewhere and parts.delivery.idle:
            # All records that may be held are in open batches, so none of them would ever fill.
            parts.batcher.close_largest()
            parts.compute.put(parts.batcher.full())

    def _commit_idle_positions(self) -> None:
        parts = self._parts
        # Not after a stop was asked: a record that is given up then is no longer held, and the
        # position of its partition is behind it.
        if parts.delivery.free and not parts.stop.asked:
            # A partition whose start is not known yet may have a position, but not the right one.
            busy = parts.progress.held.partitions | parts.resumption.asked.keys()
            idle = parts.session.ownership.owned - busy
            parts.delivery.commit_positions(parts.delivery.positions.moved(idle))

    def _prepared(self, chunk: Sequence[Entry], error: BaseException | None) -> None:
        if isinstance(error, Stopped):
            self._parts.progress.held.release(self._parts.batcher.give_up(chunk))
        elif error is not None:
            raise error
        self._parts.batcher.advance(chunk)

    def _computed(self, batch: Batch, error: BaseException | None) -> None:
        if error is not None:
            raise error
        parts = self._parts
        parts.compute.finished(batch)
        if batch.entries:
            parts.progress.computed(batch, parts.compute.limit)
        done, left = parts.batcher.computed(batch)
        parts.progress.held.release(left)
        # A record that was late may have held up more than one transaction takes.
        for start in range(0, len(done), parts.policy.transaction_records):
            parts.delivery.add(done[start : start + parts.policy.transaction_records])

    def _resumed(self, partition: Partition, epoch: int, start: int | BaseException) -> None:
        parts = self._parts
        if not (
            parts.resumption.asked.get(partition)
            == epoch
            == parts.session.ownership.epoch(partition)
        ):
            return  # of an earlier assignment; if it is an error, the next owner meets it too
        if isinstance(start, BaseException):
            raise start
        parts.session.seek(partition, start)
        del parts.resumption.asked[partition]
