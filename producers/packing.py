"""Messages as bytes, for the spool."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from kaption.connections.kafka.messages import Message

_MESSAGE = struct.Struct(">IiH")
_HEADER = struct.Struct(">HI")
_NO_KEY = -1


def pack(message: Message) -> bytes:
    """One message: lengths of value and key, number of headers, then these."""
    key = message.key
    parts = [
        _MESSAGE.pack(
            len(message.value), _NO_KEY if key is None else len(key), len(message.headers)
        ),
        message.value,
        key or b"",
    ]
    for name, value in message.headers:
        encoded = name.encode()
        parts += [_HEADER.pack(len(encoded), len(value)), encoded, value]
    return b"".join(parts)


def unpack(data: bytes) -> Iterator[Message]:
    """The messages that were packed one behind the other."""
    at = 0

    def take(length: int) -> bytes:
        nonlocal at
        at += length
        return data[at - length : at]

    while at < len(data):
        value_length, key_length, headers = _MESSAGE.unpack(take(_MESSAGE.size))
        value = take(value_length)
        key = None if key_length == _NO_KEY else take(key_length)
        pairs = []
        for _ in range(headers):
            name_length, header_length = _HEADER.unpack(take(_HEADER.size))
            pairs.append((take(name_length).decode(), take(header_length)))
        yield Message(value, key, tuple(pairs))
