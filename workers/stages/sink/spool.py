"""Images on local disk while they wait for their shard."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_OPENING = "opening.lock"
_IN_USE = "in-use.lock"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class SpooledImage:
    """A file that exists as long as this object does, so that a dropped batch leaves nothing."""

    path: Path
    bytes: int


class ImageSpool:
    """A folder of this process below `parent`, which several processes may share.

    What processes that died have left there is removed on opening: their lock on it went with them.
    A full disk raises OSError.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._folder: Path | None = None
        self._lock = -1

    @property
    def folder(self) -> Path:
        """Where the files are; for shards being built too."""
        if self._folder is None:
            raise RuntimeError("the spool is not open")
        return self._folder

    def open(self) -> None:
        """Remove what the dead have left, make a folder of our own."""
        self._parent.mkdir(parents=True, exist_ok=True)
        with _locked(self._parent / _OPENING):
            for left in self._parent.iterdir():
                if left.is_dir() and _abandoned(left):
                    shutil.rmtree(left)
            folder = self._parent / uuid.uuid4().hex
            folder.mkdir()
            self._lock = os.open(folder / _IN_USE, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._folder = folder

    def add(self, data: bytes) -> SpooledImage:
        """Write bytes to a file that goes when the answer is no longer held."""
        path = self.folder / uuid.uuid4().hex
        spooled = SpooledImage(path, len(data))
        weakref.finalize(spooled, path.unlink, missing_ok=True)
        path.write_bytes(data)
        return spooled

    def close(self) -> None:
        """Remove the folder and all that is in it."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._folder = None


def _abandoned(folder: Path) -> bool:
    handle = os.open(folder / _IN_USE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
