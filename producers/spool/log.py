"""The spool's messages on the local disk, in an SQLite database.

SQLite syncs its write-ahead log (WAL) at the end of each transaction that adds messages. It runs
without locks of its own (``unix-none``), because the folder's lock keeps other processes out. Its
locks would be a danger: a forked child inherits the belief to hold them, and could damage the
database when it opens it after its parent has closed it.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from itertools import chain
from pathlib import Path

from kaption.connections.kafka.messages import Message
from kaption.producers.errors import SpoolError
from kaption.producers.sending.forks import let_go_after_fork
from kaption.producers.spool.folder import FolderLock
from kaption.producers.spool.rows import TABLE, Row, from_row
from kaption.schemas.limits import MIB

PAGE_BYTES = 8192
_WAL_BYTES = 8 * MIB
"""SQLite moves what is in its WAL into the database when the WAL has this size."""
_SLICE_BYTES = MIB // 4
_SHRINK_BYTES = 8 * MIB
"""Most bytes of waiting messages that are copied to make the database's file small again."""
_ROWS = 100
"""Most rows of one statement: SQLite before 3.32 takes 999 parameters."""
_EMPTY_PAGES = 2
"""Pages of a database without messages."""

sqlite_calls = threading.RLock()
"""Held around every call of SQLite, so that this process forks only between two calls.

SQLite has mutexes. One that another thread holds at a fork stays locked in the child, which would
wait for it for ever when it opens a database of its own.
"""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=sqlite_calls.acquire,
        after_in_parent=sqlite_calls.release,
        after_in_child=sqlite_calls.release,
    )


class MessageLog:
    """Numbered messages in a folder: added at the end, deleted from the front, none changed.

    Any thread may call any method. Raises SpoolError if the folder is in use, is damaged or
    cannot be written.
    """

    last: int
    """Number of the newest message, also of one that is deleted; 0 before the first one."""
    done: int
    """The messages up to this number are delivered, and deleted unless the disk was full."""
    used_bytes: int
    """Bytes that the messages take in the database's file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(folder)
            with sqlite_calls, ExitStack() as undo:
                undo.callback(self._lock.release)
                self._connection = self._open(folder / "messages.db")
                undo.callback(self._connection.close)
                self._prepare()
                undo.pop_all()
        except (OSError, sqlite3.OperationalError) as error:
            raise SpoolError(f"the spool in {folder} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error
        self._closed = False
        let_go_after_fork(self)

    def append(self, rows: Sequence[Row]) -> None:
        """Add messages in one transaction; they are on the disk when this returns.

        Raises sqlite3.Error and OSError, and none is added.
        """
        with sqlite_calls:
            call = self._connection.execute
            try:
                call("BEGIN IMMEDIATE")
                numbered = [(at, *row) for at, row in enumerate(rows, start=self.last + 1)]
                for begin in range(0, len(rows), _ROWS):
                    # One statement for many rows: Python's other threads run during each statement,
                    # and this one, which they wait for, must wait for its turn again.
                    some = numbered[begin : begin + _ROWS]
                    places = ", ".join(["(?, ?, ?, ?, ?)"] * len(some))
                    statement = f"INSERT INTO messages VALUES {places}"  # noqa: S608 - of marks alone
                    call(statement, tuple(chain(*some)))
                call("COMMIT")
                self.last += len(rows)
            except BaseException:
                if self._connection.in_transaction:
                    call("ROLLBACK")
                # An interrupt may have come right behind the commit.
                self.last = max(self.last, self._extreme("max"))
                raise
            self._lock.note(self.last, self.done)
            self._measure()

    def delete(self, done: int) -> None:
        """Delete the messages up to number `done`; they are not read again.

        This is not synced: a power cut may bring them back, and the next `append` syncs it too.
        Raises sqlite3.Error and OSError; a later call deletes these messages too.
        """
        self.done = done
        with sqlite_calls:
            self._lock.note(self.last, done)
            self._connection.execute("PRAGMA synchronous=NORMAL")
            try:
                self._connection.execute("DELETE FROM messages WHERE number <= ?", (done,))
            finally:
                self._connection.execute("PRAGMA synchronous=FULL")
            free_bytes = self._measure()
            # Until then new messages use the room of deleted ones.
            if self.used_bytes <= _SHRINK_BYTES and free_bytes >= 4 * _SHRINK_BYTES:
                # A full disk has no room for the copy: a later call tries again.
                with suppress(sqlite3.OperationalError):
                    self._connection.execute("VACUUM")
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def read(self, max_bytes: int) -> list[tuple[int, Message]]:
        """The first messages with their numbers: up to `max_bytes`, at least one.

        Raises SpoolError if one is missing or damaged.
        """
        found: list[tuple[int, Message]] = []
        size, after, last = 0, self.done, self.last
        # In slices, so that a thread that publishes waits for one of them at most.
        while size < max_bytes and (
            rows := self._slice(after, min(_SLICE_BYTES, max_bytes - size))
        ):
            for number, row in rows:
                after += 1
                if number != after:
                    raise self._damaged(f"message {after} is lost")
                try:
                    found.append((number, from_row(row)))
                except ValueError as error:
                    raise self._damaged(f"message {number} has {error}") from error
                size += found[-1][1].size
        if after < last and not found:
            raise self._damaged(f"messages {after + 1} to {last} are lost")
        return found

    def close(self) -> None:
        """Let go of the folder; a second call does nothing."""
        if not self._closed:
            self._closed = True
            with sqlite_calls:
                self._connection.close()
            self._lock.release()

    def let_go(self) -> None:
        """In a forked child: the database and the lock stay with the parent."""
        if not self._closed:
            self._closed = True
            # Never freed: SQLite would delete the parent's WAL when the child closes it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
            self._lock.let_go()

    def _open(self, path: Path) -> sqlite3.Connection:
        last, done = self._lock.noted()
        if last > done and not path.exists():
            raise sqlite3.DatabaseError(f"{path} is missing")
        # Nobody else may read the file; SQLite gives its WAL the same rights.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?vfs=unix-none",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )

    def _prepare(self) -> None:
        for setting in (
            # SQLite without locks can use a WAL in this mode only.
            "locking_mode=EXCLUSIVE",
            f"page_size={PAGE_BYTES}",
            "journal_mode=WAL",
            "synchronous=FULL",
            # Some systems build SQLite so that it overwrites what it deletes.
            "secure_delete=OFF",
            "temp_store=MEMORY",
            f"wal_autocheckpoint={_WAL_BYTES // PAGE_BYTES}",
            f"journal_size_limit={_WAL_BYTES}",
        ):
            self._connection.execute(f"PRAGMA {setting}")
        self._connection.execute(TABLE)
        noted_last, noted_done = self._lock.noted()
        self.last = max(self._extreme("max"), noted_done)
        if self.last < noted_last:
            # SQLite takes a damaged part of its WAL for a crash, and drops what is behind it.
            raise sqlite3.DatabaseError(f"messages {self.last + 1} to {noted_last} are lost")
        self.done = (self._extreme("min") or self.last + 1) - 1
        # Now, so that the note has its room should the disk be full later.
        self._lock.note(self.last, self.done)
        self._measure()

    def _slice(self, after: int, max_bytes: int) -> list[tuple[int, Row]]:
        rows: list[tuple[int, Row]] = []
        size = 0
        query = "SELECT * FROM messages WHERE number > ? ORDER BY number"
        try:
            with sqlite_calls, closing(self._connection.execute(query, (after,))) as cursor:
                for number, *row in cursor:
                    rows.append((number, tuple(row)))
                    size += len(row[2]) + len(row[3])
                    if size >= max_bytes:
                        break
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error
        return rows

    def _extreme(self, which: str) -> int:
        found = self._connection.execute(f"SELECT {which}(number) FROM messages").fetchone()  # noqa: S608 - min or max
        return int(found[0] or 0)

    def _measure(self) -> int:
        """Set `used_bytes`; returns the free bytes in the file."""
        found = self._connection.execute("SELECT * FROM pragma_page_count, pragma_freelist_count")
        pages, free = found.fetchone()
        self.used_bytes = max(0, pages - free - _EMPTY_PAGES) * PAGE_BYTES
        return int(free) * PAGE_BYTES

    def _damaged(self, what: object) -> SpoolError:
        return SpoolError(
            f"the spool in {self._folder} is damaged ({what}): restore the folder, or move it away "
            "and publish again what was not delivered"
        )
