"""The files of a spool: one is appended to, the others wait to be delivered and deleted."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kaption.producers.errors import SpoolError
from kaption.producers.segment import Segment, frames, whole_bytes
from kaption.producers.sending.forks import let_go_after_fork

_SUFFIX = ".segment"
_LARGEST_BYTES = 64 * 1024 * 1024
_PLACE = struct.Struct(">QQ")
_CHECKSUM = struct.Struct(">I")


class Place(NamedTuple):
    """Between two frames."""

    segment: int
    offset: int


class Segments:
    """Numbered files in a folder that one process holds at a time.

    An eighth of the spool each, so that room comes back in such pieces. Raises SpoolError where
    the folder is in use or damaged, or cannot be written.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._segment_bytes = min(_LARGEST_BYTES, max_bytes // 8)
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._hold = _hold(folder)
            try:
                self._open()
            except BaseException:
                os.close(self._hold)
                raise
        except OSError as error:
            raise SpoolError(f"the spool in {folder} cannot be used: {error}") from error
        self._closed = False
        let_go_after_fork(self)

    def append(self, payload: bytes) -> None:
        """Write a frame at the end; one thread at a time. Raises OSError, and nothing is added."""
        if self._active.size and self._active.size + len(payload) > self._segment_bytes:
            self._roll()
        self._active.append(payload)
        with self._lock:
            self._sizes[self._number] = self._active.size

    @property
    def end(self) -> Place:
        """Behind the last frame."""
        with self._lock:
            return Place(self._number, self._sizes[self._number])

    @property
    def size(self) -> int:
        """Bytes of all files."""
        with self._lock:
            return sum(self._sizes.values())

    def payloads(self, after: Place, end: Place) -> Iterator[tuple[bytes, Place]]:
        """What stands between two places, each with the place behind it. Raises SpoolError."""
        with self._lock:
            sizes = sorted(self._sizes.items())
        for number, size in sizes:
            if after.segment <= number <= end.segment:
                start = after.offset if number == after.segment else 0
                stop = end.offset if number == end.segment else size
                for payload, offset in frames(self._path(number), start, stop):
                    yield payload, Place(number, offset)

    def acknowledge(self, place: Place) -> None:
        """Nothing before `place` is wanted any more. Raises OSError; it may be told again."""
        with self._lock:
            done = [number for number in self._sizes if number < place.segment]
            for number in done:
                self._path(number).unlink()
                del self._sizes[number]
        self._write_place(place)

    def close(self) -> None:
        """Let go of the folder; once more it does nothing."""
        if self._closed:
            return
        self._closed = True
        self._active.close()
        os.close(self._place_file)
        os.close(self._hold)

    def let_go(self) -> None:
        """In a forked child: the folder stays the parent's, and so does its lock."""
        self.close()

    def _open(self) -> None:
        numbers = sorted(int(path.stem) for path in self._folder.glob(f"*{_SUFFIX}"))
        for number in range(numbers[0], numbers[-1]) if numbers else ():
            if number not in numbers:
                raise SpoolError(f"spool file {self._path(number)} is missing: restore it")
        self._place_file = os.open(self._folder / "acknowledged", os.O_RDWR | os.O_CREAT, 0o600)
        place = self._read_place()
        if numbers:
            self._number = numbers[-1]
            self._sizes = {number: self._path(number).stat().st_size for number in numbers}
            whole = whole_bytes(self._path(self._number))
            self._active = Segment(self._path(self._number), whole)
            self._sizes[self._number] = whole
        else:
            self._sizes = {}
            self._start(place.segment + 1)
        if place.segment not in self._sizes or place.offset > self._sizes[place.segment]:
            place = Place(min(self._sizes), 0)
        # Now, so that a disk that is full later has room for it.
        self._write_place(place)

    def _read_place(self) -> Place:
        found = os.pread(self._place_file, _PLACE.size + _CHECKSUM.size, 0)
        data, checksum = found[: _PLACE.size], found[_PLACE.size :]
        if checksum != _CHECKSUM.pack(zlib.crc32(data)):
            return Place(0, 0)
        return Place(*_PLACE.unpack(data))

    def _write_place(self, place: Place) -> None:
        # Not flushed: after a power cut an older place only sends some again.
        data = _PLACE.pack(*place)
        os.pwrite(self._place_file, data + _CHECKSUM.pack(zlib.crc32(data)), 0)
        self.acknowledged = place

    def _roll(self) -> None:
        full = self._active
        full.cut()
        self._start(self._number + 1)
        full.close()

    def _start(self, number: int) -> None:
        self._active = Segment(self._path(number))
        with self._lock:
            self._number = number
            self._sizes[number] = 0
        # A file whose name is not on the disk would be lost with all it holds.
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:016d}{_SUFFIX}"


def _hold(folder: Path) -> int:
    """Lock the folder; the lock ends with the process, however that ends."""
    try:
        import fcntl
    except ModuleNotFoundError as error:
        raise SpoolError("a spool needs a POSIX system: publish without one") from error
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise SpoolError(
            f"the spool in {folder} is in use by another Publisher: give each a folder of its own"
        ) from error
    return file
