"""One file of the spool: frames of a length, a checksum and what was written in one go."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kaption.producers.errors import SpoolError

_LENGTH = struct.Struct(">I")
_CHECKSUM = struct.Struct(">I")
FRAME_BYTES = _LENGTH.size + _CHECKSUM.size
"""What a frame takes besides its payload."""


class Segment:
    """A file that frames are appended to. One thread at a time."""

    def __init__(self, path: Path, size: int | None = None) -> None:
        """A new file, or with `size` an old one, of which so many bytes are kept."""
        self.path = path
        if size is None:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        else:
            self._file = os.open(path, os.O_WRONLY)
            os.ftruncate(self._file, size)
            os.fsync(self._file)
        self.size = size or 0
        self._ragged = False

    def append(self, payload: bytes) -> None:
        """Write one frame; it is on the disk when this returns.

        Raises OSError, and nothing is added: what was written is cut off, now or before more is.
        """
        self.cut()
        length = _LENGTH.pack(len(payload))
        checksum = _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(length)))
        rest = memoryview(length + checksum + payload)
        end = self.size + len(rest)
        self._ragged = True
        try:
            written = 0
            while written < len(rest):
                written += os.pwrite(self._file, rest[written:], self.size + written)
            os.fsync(self._file)
        except BaseException:
            self.cut()
            raise
        self.size = end
        self._ragged = False

    def cut(self) -> None:
        """Take away what a failed write left. Raises OSError."""
        if self._ragged:
            os.ftruncate(self._file, self.size)
            self._ragged = False

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def frames(path: Path, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    """Payloads between two frame boundaries, each with the boundary behind it.

    Raises SpoolError where the file is damaged.
    """
    with path.open("rb") as file:
        while start < end:
            payload = _payload_at(file, start)
            if payload is None:
                raise _damaged(path, start)
            start += FRAME_BYTES + len(payload)
            yield payload, start


def whole_bytes(path: Path) -> int:
    """How much of a file is whole frames; the rest is a write that a crash cut short.

    A frame is begun only when the one before is on the disk. So whole frames behind a broken one
    mean damage, not a crash: SpoolError.
    """
    start, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while (payload := _payload_at(file, start)) is not None:
            start += FRAME_BYTES + len(payload)
        file.seek(start)
        stated = file.read(_LENGTH.size)
        if len(stated) == _LENGTH.size:
            behind = start + FRAME_BYTES + _LENGTH.unpack(stated)[0]
            if behind < size and _payload_at(file, behind) is not None:
                raise _damaged(path, start)
    return start


def _payload_at(file: BinaryIO, start: int) -> bytes | None:
    file.seek(start)
    head = file.read(FRAME_BYTES)
    if len(head) < FRAME_BYTES:
        return None
    length, checksum = head[: _LENGTH.size], head[_LENGTH.size :]
    payload_bytes = _LENGTH.unpack(length)[0]
    if not 0 < payload_bytes <= os.fstat(file.fileno()).st_size - file.tell():
        return None
    payload = file.read(payload_bytes)
    whole = _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(length))) == checksum
    return payload if whole else None


def _damaged(path: Path, start: int) -> SpoolError:
    return SpoolError(
        f"spool file {path} is damaged at byte {start}: restore it, or move the spool's folder "
        "away and publish again what was not delivered"
    )
