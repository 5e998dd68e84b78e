"""The object store that settings name."""

from __future__ import annotations

from pathlib import Path

from objectstore.store import ObjectStore
from schemas import StoreConnection
from schemas.errors import Fatal


def open_store(connection: StoreConnection) -> ObjectStore:
    """A folder, or S3 for ``s3://bucket/prefix``. Raises Fatal on any other URL."""
    scheme, separator, _ = connection.url.partition("://")
    if not separator:
        from objectstore.folder import FolderStore

        return FolderStore(Path(connection.url).expanduser())
    if scheme == "s3":
        from objectstore.s3 import S3Store

        return S3Store(connection)
    raise Fatal(f"store.url {connection.url!r}: give a folder or s3://bucket/prefix")
