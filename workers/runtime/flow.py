"""How much is read ahead: the number of records a poll may return, and what is paused."""

from __future__ import annotations

from kaption.connections.kafka.messages import Partition
from kaption.workers.runtime.parts import Parts

# The longest wait for records while other threads work: a result of theirs lies unseen that long.
_BUSY_WAIT_S = 0.01
_LARGEST_POLL = 1024
# How many records may wait for a foreign server or stand computed behind one that does: what a
# worker reads at 800 a second while a server does not answer for ten seconds. About 15 kB each.
_LARGEST_PARK = 8192


class Flow:
    """Belongs to the poll thread."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._paused: tuple[frozenset[Partition], int] | None = None
        self._full = False

    def room(self) -> int:
        """How many more records may be read; 0 if none."""
        parts = self._parts
        if parts.stop.asked or parts.progress.held.bytes >= parts.policy.prefetch_bytes:
            return 0
        ahead = 2 * parts.batching.max_records
        if parts.batching.per_partition:
            # A shard holds back no partition but its own: only records in preparation count.
            waiting, ahead = parts.batcher.waiting_entries, min(ahead, _LARGEST_POLL)
        else:
            # Records in delivery do not count, up to one transaction: a commit takes as long as
            # the preparation of dozens of records, which are to be read meanwhile.
            delivered = min(parts.delivery.records, parts.policy.transaction_records)
            waiting = parts.progress.held.records - parts.batcher.open_entries - delivered
        limit = ahead + parts.policy.prepare_threads
        # Once full, nothing is read until half of it is empty: many polls for a few records each
        # cost more than the records.
        parked = parts.batcher.parked + parts.preparation.waiting
        room = min(limit - (waiting - parked), _LARGEST_PARK - parked)
        self._full = room <= (limit // 2 if self._full else 0)
        return 0 if self._full else room

    def pause(self, room: int) -> bool:
        """Pause the partitions that must not be read. Returns whether nothing else is left."""
        parts = self._parts
        ownership = parts.session.ownership
        owned, changes = ownership.owned, ownership.changes
        wanted = owned
        if room > 0:
            writing = filter(None, (batch.partition for batch in parts.compute.batches))
            wanted = frozenset({*parts.resumption.asked, *writing, *parts.unreadable.waiting()})
        if self._paused != (wanted, changes):
            parts.session.pause_only(wanted)
            self._paused = (wanted, changes)
        return bool(owned) and wanted >= owned

    @property
    def paused(self) -> frozenset[Partition]:
        """The partitions that were not to be read at the last `pause`."""
        return self._paused[0] if self._paused else frozenset()

    def poll_records(self, room: int) -> int:
        """The most records that one poll may return; at least 1, which is what Kafka accepts."""
        return max(1, min(room, _LARGEST_POLL))

    def wait_s(self, still: bool) -> float:
        """Seconds for which a poll waits for records; `still`: every partition is paused."""
        parts = self._parts
        busy = parts.progress.held.records > 0 or not parts.delivery.open
        if parts.session.joining or not (still or busy):
            # Long while joining: the answer to a JoinGroup is lost if nobody is in poll().
            return parts.policy.poll_s
        return 0.0 if still else _BUSY_WAIT_S
