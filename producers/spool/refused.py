"""Messages that the broker refuses for good, in a database beside the spool's own."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from kaption.connections.kafka.messages import Message
from kaption.producers.errors import SpoolError
from kaption.producers.spool.log import sqlite_calls
from kaption.producers.spool.rows import TABLE, from_row, to_row

REFUSED_FILE = "refused.db"
"""A file in the spool's folder. It is a database of its own, because only one process may open the
spool's."""


def refuse(folder: Path, messages: Iterable[Message]) -> None:
    """Add messages; they are on the disk when this returns. Raises SpoolError.

    The database is open during the call only, with SQLite's own locks, so that any process may
    read it at any time.
    """
    path = folder / REFUSED_FILE
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with sqlite_calls, closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(TABLE)
            connection.executemany(
                "INSERT INTO messages VALUES (NULL, ?, ?, ?, ?)", map(to_row, messages)
            )
    except (OSError, sqlite3.Error) as error:
        raise SpoolError(
            f"refused records cannot be kept in {path} ({error}): make room on its disk, or move "
            "the file away"
        ) from error


def refused(folder: Path) -> Iterator[Message]:
    """The refused messages in a spool's folder, the oldest first.

    Look at them, or publish them in another form; then delete the file `refused.db`. A Publisher
    may use the folder meanwhile. Raises SpoolError if the file is damaged.
    """
    path = folder / REFUSED_FILE
    if not path.exists():
        return
    number = 0
    try:
        with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
            # One at a time: a query that is not at its end keeps `refuse` from writing.
            query = "SELECT * FROM messages WHERE number > ? ORDER BY number LIMIT 1"
            while rows := connection.execute(query, (number,)).fetchall():
                number, *row = rows[0]
                yield from_row(tuple(row))
    except (sqlite3.Error, ValueError) as error:
        raise SpoolError(f"{path} is damaged ({error}): restore it, or delete it") from error
