"""Frames between the pool and its children: length-prefixed bytes over a stream socket."""

from __future__ import annotations

import socket
import struct
import time

_LENGTH = struct.Struct(">Q")


class PeerClosedError(ConnectionError):
    """The other side has closed the connection."""


def send_frame(sock: socket.socket, *parts: bytes) -> None:
    """Send `parts` as one frame. Raises OSError."""
    sock.sendall(_LENGTH.pack(sum(len(part) for part in parts)))
    for part in parts:
        sock.sendall(part)


def receive_frame(sock: socket.socket, limit: int, deadline: float | None = None) -> bytes:
    """Receive one frame of at most `limit` bytes by `deadline` (time.monotonic; None: no limit).

    Raises PeerClosedError, TimeoutError, OSError, and ValueError for a longer frame.
    """
    (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size, deadline))
    if length > limit:
        raise ValueError(f"frame of {length} bytes, {limit} at most")
    return _exactly(sock, length, deadline)


def _exactly(sock: socket.socket, size: int, deadline: float | None) -> bytes:
    if deadline is None:
        data = sock.recv(size, socket.MSG_WAITALL) if size else b""
        if len(data) < size:
            raise PeerClosedError("closed within a frame")
        return data
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        sock.settimeout(left)
        got = sock.recv_into(view)
        if not got:
            raise PeerClosedError("closed within a frame")
        view = view[got:]
    return bytes(buffer)
