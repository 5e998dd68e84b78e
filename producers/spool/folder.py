"""The lock of a spool's folder, and in the same file how far the spool has come."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from kaption.producers.errors import SpoolError

_PROGRESS = struct.Struct(">QQ")
_CHECKSUM = struct.Struct(">I")


class FolderLock:
    """Held by one process at a time; it ends with the process, however that ends.

    Raises SpoolError if another Publisher has the folder, and OSError.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import fcntl
        except ModuleNotFoundError as error:
            raise SpoolError("a spool needs a POSIX system: publish without one") from error
        self._file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.let_go()
            raise SpoolError(
                f"the spool in {folder} is in use by another Publisher: give each a folder of its "
                "own"
            ) from error

    def release(self) -> None:
        """Unlock the folder, even if a child that was just forked still has the file open."""
        import fcntl

        fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)

    def let_go(self) -> None:
        """In a forked child: close the file; the lock stays with the parent."""
        os.close(self._file)

    def note(self, last: int, done: int) -> None:
        """Write down that message `last` is on the disk, and that `done` and all before may go.

        The note is not synced: after a power cut an older one stands here, which claims less.
        """
        data = _PROGRESS.pack(last, done)
        os.pwrite(self._file, data + _CHECKSUM.pack(zlib.crc32(data)), 0)

    def noted(self) -> tuple[int, int]:
        """The last note; zeros if there is none."""
        found = os.pread(self._file, _PROGRESS.size + _CHECKSUM.size, 0)
        data, checksum = found[: _PROGRESS.size], found[_PROGRESS.size :]
        if checksum != _CHECKSUM.pack(zlib.crc32(data)):
            return 0, 0
        last, done = _PROGRESS.unpack(data)
        return last, done
