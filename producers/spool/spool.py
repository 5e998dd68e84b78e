"""Messages on the local disk until Kafka has them: a write-ahead log in a folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kaption.connections.kafka.messages import Message
from kaption.producers.errors import BufferFullError, ClosedError, SpoolError
from kaption.producers.packing import pack, unpack
from kaption.producers.segment import FRAME_BYTES
from kaption.producers.segments import Place, Segments

_GROUP_BYTES = 8 * 1024 * 1024


@dataclass(slots=True, eq=False)
class _Entry:
    """A message on its way to the disk, with the thread that waits for it."""

    packed: bytes
    done: bool = False
    error: BaseException | None = None

    @property
    def size(self) -> int:
        return len(self.packed) + FRAME_BYTES


class Group(NamedTuple):
    """Messages that were written in one go, and the place behind them."""

    messages: tuple[Message, ...]
    end: Place


class Spool:
    """A bounded log in `folder`, of one process at a time. Any thread may append; one reads.

    Threads that append at the same time share one write and one fsync. Raises SpoolError where the
    folder is in use, damaged or cannot be written.
    """

    def __init__(
        self, folder: Path, max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._clock = clock
        self._changed = threading.Condition()
        self._segments = Segments(folder, max_bytes)
        self._end = self._segments.end
        self._acknowledged = self._segments.acknowledged
        self._queue: list[_Entry] = []
        self._queued_bytes = 0
        """Of the queue and of what is being written."""
        self._writing = False
        self._closed = False

    @property
    def end(self) -> Place:
        """Behind all that is on the disk."""
        with self._changed:
            return self._end

    @property
    def acknowledged(self) -> Place:
        """Behind all that `acknowledge` was told of."""
        with self._changed:
            return self._acknowledged

    def append(self, message: Message, max_block_s: float) -> None:
        """Put a message behind all others; it is on the disk when this returns.

        Raises BufferFullError where no room came for `max_block_s`, and SpoolError where the disk
        is full or fails: then the message is not in the spool.
        """
        entry = _Entry(pack(message))
        with self._changed:
            self._wait_for_room(entry, max_block_s)
            self._queue.append(entry)
            self._queued_bytes += entry.size
        while not self._is_done(entry):
            self._write_group()
        if entry.error is not None:
            raise SpoolError(
                f"the spool in {self._folder} cannot be written ({entry.error}): make room on its "
                "disk; the record was not accepted"
            ) from entry.error

    def read(self, max_bytes: int) -> list[Group]:
        """What is not acknowledged: one group or more, up to `max_bytes`; none, if all is."""
        found, size, start, end = [], 0, self.acknowledged, self.end
        for payload, place in self._segments.payloads(start, end):
            found.append(Group(tuple(unpack(payload)), place))
            size += len(payload)
            if size >= max_bytes:
                break
        if not found and start != end:
            # The end of one file and the start of the next, which is empty, are one place.
            self.acknowledge(end)
        return found

    def acknowledge(self, place: Place) -> None:
        """All before `place` is delivered: it is not read again, and its room is free."""
        with self._changed:
            self._segments.acknowledge(place)
            self._acknowledged = place
            self._changed.notify_all()

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `until` is true; what it says in the end. Asked again after each change."""
        with self._changed:
            return self._changed.wait_for(until, timeout_s)

    def wake(self) -> None:
        """Have every `wait` ask again."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Let go of the folder, when what is being written is on the disk."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._writing)
            self._settle(self._queue, ClosedError("the Publisher was closed"))
            self._queue = []
            self._segments.close()

    def _wait_for_room(self, entry: _Entry, max_block_s: float) -> None:
        end = self._clock() + max_block_s
        while not (self._closed or self._fits(entry)):
            left = end - self._clock()
            if left <= 0:
                raise BufferFullError(
                    f"the spool in {self._folder} holds {self._used()} bytes of at most "
                    f"{self._max_bytes}, and no room came for {max_block_s:g} s: check the broker, "
                    "or raise spool_bytes"
                )
            self._changed.wait(left)
        if self._closed:
            raise ClosedError("this Publisher is closed: make another one")

    def _fits(self, entry: _Entry) -> bool:
        # One that is larger than the spool goes alone.
        empty = not self._queue and not self._writing and self._acknowledged == self._end
        return empty or self._used() + entry.size <= self._max_bytes

    def _used(self) -> int:
        return self._segments.size + self._queued_bytes

    def _is_done(self, entry: _Entry) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: entry.done or not self._writing)
            return entry.done

    def _write_group(self) -> None:
        """Write what waits, for all threads that wait, unless another thread does so already."""
        with self._changed:
            if self._writing or not self._queue:
                return
            self._writing = True
            size = 0
            group: list[_Entry] = []
            while self._queue and (not group or size + self._queue[0].size <= _GROUP_BYTES):
                group.append(self._queue.pop(0))
                size += group[-1].size
        error: BaseException | None = InterruptedError("interrupted")
        try:
            self._segments.append(b"".join(entry.packed for entry in group))
            error = None
        except OSError as raised:
            error = raised
        finally:
            with self._changed:
                self._end = self._segments.end
                self._writing = False
                self._settle(group, error)

    def _settle(self, group: list[_Entry], error: BaseException | None) -> None:
        for entry in group:
            entry.done, entry.error = True, error
            self._queued_bytes -= entry.size
        self._changed.notify_all()
