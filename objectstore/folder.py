"""An object store in a local or shared folder."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from kaption.connections.errors import Fatal, Retry
from kaption.objectstore.store import ObjectStore, check_key, check_prefix

UNFINISHED = "~unfinished"
"""Folder of the files that are being written. No key contains ~, so no object can lie in it."""

_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


class FolderStore(ObjectStore):
    """One file per object below `root`.

    A file is first written to `UNFINISHED` and flushed to the disk, then renamed or linked to its
    place, whose folder is flushed too. So an object is always whole, and it survives a power cut
    once the call has returned. Several processes may share the folder, over NFS too: there link()
    is atomic, while creating a file with O_EXCL and then writing it is not.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen = root.is_dir()

    def put(
        self, key: str, data: bytes | Path, *, media_type: str = "application/octet-stream"
    ) -> None:
        """Write the file, then rename it to its place. The media type is not kept."""
        with self._written(key, data) as (written, target):
            written.replace(target)

    def put_if_absent(self, key: str, data: bytes, *, media_type: str = "application/json") -> bool:
        """Write the file, then link it to its place, which fails where the object exists."""
        with self._written(key, data) as (written, target):
            try:
                os.link(written, target)
            except FileExistsError:
                return False
        return True

    def get(self, key: str) -> bytes:
        """Return the file's bytes."""
        return self._read(key, 0, -1)

    def get_part(self, key: str, start: int, size: int) -> bytes:
        """Read from the middle of the file."""
        return self._read(key, start, size)

    def _read(self, key: str, start: int, size: int) -> bytes:
        with _translated(key):
            try:
                with self._path(key).open("rb") as file:
                    file.seek(start)
                    data = file.read(size)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                self._check_root()
                raise KeyError(key) from error
        self._seen = True
        return data

    def exists(self, key: str) -> bool:
        """Return whether the file exists."""
        with _translated(key):
            try:
                return (self._path(key).stat().st_mode & 0o170000) == 0o100000
            except (FileNotFoundError, NotADirectoryError):
                self._check_root()
                return False

    def written_at(self, key: str) -> datetime:
        """Return the file's time of modification."""
        with _translated(key):
            if self.exists(key):
                with suppress(FileNotFoundError):  # deleted meanwhile
                    return datetime.fromtimestamp(self._path(key).stat().st_mtime, UTC)
        raise KeyError(key)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Walk the folders that `prefix` names, each in the order of its keys."""
        start, _, _ = check_prefix(prefix).rpartition("/")
        keys = self._walk(start, prefix)
        return (key for key in keys if key > after) if after else keys

    def folders(self, prefix: str) -> Iterator[str]:
        """Read the folder once."""
        start, _, _ = check_prefix(prefix).rpartition("/")
        names = self._names(start)
        return (name[:-1] for name in names if name.endswith("/") and name != f"{UNFINISHED}/")

    def delete(self, key: str) -> None:
        """Delete the file. Its folders stay, because another writer may be about to use them."""
        with _translated(key):
            try:
                self._path(key).unlink(missing_ok=True)
            except NotADirectoryError:
                return

    def _check_root(self) -> None:
        """Raise Retry if the root folder existed earlier and is gone: its mount was lost.

        Without this, a lost mount would look like missing objects. A root folder that was never
        seen is an empty store: nobody has written to it yet.
        """
        seen = self._seen  # read before is_dir(), because another thread may make the folder
        if self._root.is_dir():
            self._seen = True
        elif seen:
            raise Retry(f"object store: folder {self._root} is gone; mount or restore it")

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _names(self, folder: str) -> Sequence[str]:
        with _translated(folder or "."):
            try:
                with os.scandir(self._root / folder) as entries:
                    # A folder is sorted as "name/", as in keys: a-b, then a/b, then a0.
                    return sorted(e.name + "/" if e.is_dir() else e.name for e in entries)
            except (FileNotFoundError, NotADirectoryError):
                self._check_root()
                return ()

    def _walk(self, folder: str, prefix: str) -> Iterator[str]:
        for name in self._names(folder):
            key = f"{folder}/{name}" if folder else name
            if name == f"{UNFINISHED}/" or not (key.startswith(prefix) or prefix.startswith(key)):
                continue
            if name.endswith("/"):
                yield from self._walk(key[:-1], prefix)
            elif key.startswith(prefix):
                yield key

    @contextmanager
    def _written(self, key: str, data: bytes | Path) -> Iterator[tuple[Path, Path]]:
        """Give a finished file and its place; flush the folder of the place afterwards."""
        target = self._path(key)
        beside = self._root / UNFINISHED / secrets.token_hex(12)
        with _translated(key):
            self._check_root()
            _make_folder(beside.parent)
            _make_folder(target.parent)
            try:
                _write(beside, data)
                yield beside, target
                _flush_folder(target.parent)
                self._seen = True
            finally:
                beside.unlink(missing_ok=True)


def _write(path: Path, data: bytes | Path) -> None:
    with path.open("xb") as file:
        if isinstance(data, Path):
            with data.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
        else:
            file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _make_folder(folder: Path) -> None:
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        _flush_folder(new.parent)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
        raise ValueError(f"{key}: an object and a folder cannot have one name: {error}") from error
    except OSError as error:
        if error.errno in _REFUSED:
            raise Fatal(
                f"object store refuses {key}: {error}; give this process the right to it"
            ) from error
        # A full disk, a lost mount or too many open files: trying again later can succeed.
        raise Retry(f"object store, {key}: {error}") from error
