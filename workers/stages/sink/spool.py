"""Images on local disk while they wait for their shard to be written."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
import weakref
from dataclasses import dataclass
from pathlib import Path

_OPENING = "opening.lock"
_IN_USE = "in-use.lock"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class SpooledImage:
    """A file that is deleted with this object, so that a dropped batch leaves no files."""

    path: Path
    bytes: int


class ImageSpool:
    """A folder of this process below `parent`, which several processes may share.

    `open` also removes the folders of processes that died. Each process holds a lock on its folder,
    and the kernel releases it when the process ends. Methods raise OSError when the disk is full.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._folder: Path | None = None
        self._lock = -1

    @property
    def folder(self) -> Path:
        """The folder of the images. Shards are built in it too."""
        if self._folder is None:
            raise RuntimeError("the spool is not open")
        return self._folder

    def open(self) -> None:
        """Remove the folders of dead processes and make one for this process."""
        self._parent.mkdir(parents=True, exist_ok=True)
        opening = _lock(self._parent / _OPENING)
        try:
            for folder in self._parent.iterdir():
                if folder.is_dir() and _abandoned(folder):
                    shutil.rmtree(folder)
            folder = self._parent / uuid.uuid4().hex
            folder.mkdir()
            self._lock = _lock(folder / _IN_USE)
        finally:
            os.close(opening)
        self._folder = folder

    def add(self, data: bytes) -> SpooledImage:
        """Write bytes to a file, which is deleted when nobody holds the returned object."""
        path = self.folder / uuid.uuid4().hex
        spooled = SpooledImage(path, len(data))
        weakref.finalize(spooled, path.unlink, missing_ok=True)
        path.write_bytes(data)
        return spooled

    def close(self) -> None:
        """Remove the folder with all files in it."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._folder = None


def _abandoned(folder: Path) -> bool:
    try:
        os.close(_lock(folder / _IN_USE, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _lock(path: Path, how: int = fcntl.LOCK_EX) -> int:
    """A file handle that holds the lock until it is closed."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, how)
    except OSError:
        os.close(handle)
        raise
    return handle
