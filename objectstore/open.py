"""Opening the object store that settings name, trying it, and waiting for one that is down."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TypeVar

from kaption.connections.errors import Fatal, Retry
from kaption.connections.patience import repeated
from kaption.connections.settings import StoreConnection
from kaption.objectstore.store import NO_CONDITIONS, ObjectStore

PATIENCE_S = 300.0
"""Seconds for which `patiently` waits for a store that is down."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


def open_store(
    connection: StoreConnection, observe: Callable[[float], object] | None = None
) -> ObjectStore:
    """Open a folder, or S3 for ``s3://bucket/prefix``. Raises Fatal where the folder is a file.

    `observe` gets the seconds of each call to S3 that worked.
    """
    if connection.url.startswith("s3://"):
        from kaption.objectstore.s3 import S3Store

        return S3Store(connection, observe)
    from kaption.objectstore.folder import FolderStore

    folder = Path(connection.url).expanduser()
    found = next(each for each in (folder, *folder.parents) if each.exists())
    if not found.is_dir():
        which = "is" if found == folder else f"lies below {found}, which is"
        raise Fatal(
            f"store.url {connection.url!r} {which} a file: give a folder or s3://bucket/prefix"
        )
    return FolderStore(folder)


def try_store(
    store: ObjectStore, key: str, shard_bytes: int = 1024, folder: Path | None = None
) -> None:
    """Write, read and delete `key` as the sink writes: twice on condition, then from a file.

    The file has `shard_bytes` and lies in `folder`. Give the size of a real shard to learn whether
    it goes through. Raises Fatal for a store that cannot be used, with what to do, and Retry.
    """
    # Not inside try: a refused delete would hide the error of a refused write.
    store.put_if_absent(key, b"1")
    try:
        # Patiently, because R2 allows one write a second to a key.
        repeated = patiently(lambda: store.put_if_absent(key, b"2"))
        if repeated or store.get(key) != b"1":
            raise Fatal(f"object store: {NO_CONDITIONS}")
        with NamedTemporaryFile(dir=folder) as shard:
            shard.truncate(shard_bytes)
            patiently(lambda: store.put(key, Path(shard.name)))
    finally:
        store.delete(key)


def patiently(call: Callable[[], T]) -> T:
    """Return what the call returns; repeat it while it raises Retry, for up to `PATIENCE_S`.

    For readers and compaction, which have no engine around them that waits. Raises the last Retry.
    """
    return repeated(
        call,
        lambda error: isinstance(error, Retry),
        PATIENCE_S,
        lambda error: _log.warning("waiting for the object store: %s", error),
    )
