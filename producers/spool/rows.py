"""Messages as rows of an SQLite table."""

from __future__ import annotations

import json
import zlib

from kaption.connections.kafka.messages import Message

TABLE = (
    "CREATE TABLE IF NOT EXISTS messages (number INTEGER PRIMARY KEY, "
    "checksum INTEGER NOT NULL, key BLOB, headers TEXT NOT NULL, value BLOB NOT NULL)"
)
Row = tuple[int, bytes | None, str, bytes]
"""Checksum, key, headers as JSON, value: all columns but the number."""


def to_row(message: Message) -> Row:
    """The row of a message. Raises UnicodeEncodeError if a header's name has no UTF-8."""
    # Latin-1 has one character for each byte.
    pairs = [(name, value.decode("latin-1")) for name, value in message.headers]
    headers = json.dumps(pairs, ensure_ascii=False)
    return _checksum(message.key, headers, message.value), message.key, headers, message.value


def from_row(row: Row) -> Message:
    """The message of a row. Raises ValueError if the row was damaged on the disk."""
    checksum, key, headers, value = row
    if checksum != _checksum(key, headers, value):
        raise ValueError("a wrong checksum")
    pairs = tuple((name, text.encode("latin-1")) for name, text in json.loads(headers))
    return Message(value, key, pairs)


def _checksum(key: bytes | None, headers: str, value: bytes) -> int:
    # SQLite does not notice a bit that was flipped inside a value.
    return zlib.crc32(value, zlib.crc32(headers.encode(), zlib.crc32(key or b"")))
