"""The object store that settings name."""

from __future__ import annotations

from pathlib import Path

from kaption.connections.errors import Fatal
from kaption.connections.settings import StoreConnection
from kaption.objectstore.store import ObjectStore


def open_store(connection: StoreConnection) -> ObjectStore:
    """A folder, or S3 for ``s3://bucket/prefix``. Raises Fatal on any other URL."""
    scheme, separator, _ = connection.url.partition("://")
    if not separator:
        from kaption.objectstore.folder import FolderStore

        return FolderStore(Path(connection.url).expanduser())
    if scheme == "s3":
        from kaption.objectstore.s3 import S3Store

        return S3Store(connection)
    raise Fatal(f"store.url {connection.url!r}: give a folder or s3://bucket/prefix")
