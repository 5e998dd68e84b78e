"""The object store that settings name."""

from __future__ import annotations

from pathlib import Path

from schemas import StoreConnection
from workers.runtime.stage import Fatal
from workers.stores.object_store import ObjectStore


def open_store(connection: StoreConnection) -> ObjectStore:
    """A folder, or S3 for ``s3://bucket/prefix``. Raises Fatal on any other URL."""
    scheme, separator, _ = connection.url.partition("://")
    if not separator:
        from workers.stores.folder_store import FolderStore

        return FolderStore(Path(connection.url).expanduser())
    if scheme == "s3":
        from workers.stores.s3_store import S3Store

        return S3Store(connection)
    raise Fatal(f"store.url {connection.url!r}: give a folder or s3://bucket/prefix")
