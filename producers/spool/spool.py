"""Messages wait in a folder on the local disk until Kafka has them."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kaption.connections.kafka.messages import Message
from kaption.producers.errors import BufferFullError, ClosedError, SpoolError
from kaption.producers.spool.log import PAGE_BYTES, MessageLog
from kaption.producers.spool.rows import Row, to_row
from kaption.schemas.limits import MIB

_GROUP_BYTES = 8 * MIB

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Entry:
    """A message on its way to the disk; its thread waits until it is `done`."""

    row: Row
    size: int
    """Most bytes that it can take on the disk."""
    done: bool = False
    error: BaseException | None = None


class Spool:
    """A bounded queue in `folder`, of one process at a time. Any thread may append; one reads.

    Threads that append at the same time share one transaction, and so one sync of the disk: the
    first of them writes for all. Raises SpoolError if the folder is in use, is damaged or cannot
    be written.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._messages = MessageLog(folder)
        self._changed = threading.Condition()
        self._queue: list[_Entry] = []
        self._queued_bytes = 0
        """Bytes of the messages in the queue and in the group that is being written."""
        self._writing = False
        self._undeleted = False
        self._closed = False

    @property
    def end(self) -> int:
        """Number of the last message that is on the disk."""
        return self._messages.last

    @property
    def acknowledged(self) -> int:
        """Number of the last message that `acknowledge` was told of."""
        return self._messages.done

    def append(self, message: Message, max_block_s: float) -> None:
        """Put a message behind all others; it is on the disk when this returns.

        Raises BufferFullError if no room came for `max_block_s`, and SpoolError if the disk
        is full or fails: then the message is not in the spool.
        """
        # Rounded up to pages; the table may need another page to point at these.
        entry = _Entry(to_row(message), (message.size // PAGE_BYTES + 2) * PAGE_BYTES)
        with self._changed:
            room = self._changed.wait_for(lambda: self._closed or self._fits(entry), max_block_s)
            if self._closed:
                raise ClosedError("this Publisher is closed: make another one")
            if not room:
                raise BufferFullError(
                    f"the spool in {self._folder} holds {self._used()} bytes of at most "
                    f"{self._max_bytes}, and no room came for {max_block_s:g} s: check the broker, "
                    "or raise spool_bytes"
                )
            self._queue.append(entry)
            self._queued_bytes += entry.size
        while not self._is_done(entry):
            self._write_group()
        if entry.error is not None:
            raise SpoolError(
                f"the spool in {self._folder} cannot be written ({entry.error}): make room on its "
                "disk, or check the disk; the record was not accepted"
            ) from entry.error

    def read(self, max_bytes: int) -> list[tuple[int, Message]]:
        """What is not acknowledged, with its numbers: up to `max_bytes`, at least one message.

        Returns an empty list if all is acknowledged. Raises SpoolError if messages are damaged.
        """
        return self._messages.read(max_bytes)

    def acknowledge(self, number: int) -> None:
        """The messages up to `number` are delivered: they are not read again, their room is free.

        Raises SpoolError if the spool is damaged.
        """
        try:
            self._messages.delete(number)
            self._undeleted = False
        except (OSError, sqlite3.OperationalError) as error:
            # The disk is full. Delivery goes on, and a later call deletes these too.
            if not self._undeleted:
                _log.warning(
                    "the spool in %s cannot delete delivered records (%s): make room on its disk",
                    self._folder,
                    error,
                )
            self._undeleted = True
        except sqlite3.DatabaseError as error:
            raise SpoolError(f"the spool in {self._folder} is damaged: {error}") from error
        self.wake()

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `until` is true; returns its last answer. It is asked after each change."""
        with self._changed:
            return self._changed.wait_for(until, timeout_s)

    def wake(self) -> None:
        """Have every `wait` ask again."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Let go of the folder when what is being written is on the disk."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._writing)
            self._settle(self._queue, ClosedError("the Publisher was closed"))
            self._queue = []
        self._messages.close()

    def _fits(self, entry: _Entry) -> bool:
        # A message that is larger than the spool goes alone.
        alone = not self._queued_bytes and self.acknowledged == self.end
        return alone or self._used() + entry.size <= self._max_bytes

    def _used(self) -> int:
        return self._messages.used_bytes + self._queued_bytes

    def _is_done(self, entry: _Entry) -> bool:
        # A lock that each thread holds in turn was rejected: groups got a third as large.
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
            self._messages.append([entry.row for entry in group])
            error = None
        except (OSError, sqlite3.Error) as raised:
            error = raised
        finally:
            with self._changed:
                self._writing = False
                self._settle(group, error)

    def _settle(self, group: list[_Entry], error: BaseException | None) -> None:
        for entry in group:
            entry.done, entry.error = True, error
            self._queued_bytes -= entry.size
        self._changed.notify_all()
