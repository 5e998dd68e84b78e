"""Opening the object store that settings name, and waiting for one that is down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import stamina

from kaption.connections.errors import Fatal, Retry
from kaption.connections.settings import StoreConnection
from kaption.objectstore.store import ObjectStore

PATIENCE_S = 300.0
"""Seconds for which `patiently` waits for a store that is down."""

T = TypeVar("T")


def open_store(connection: StoreConnection) -> ObjectStore:
    """Open a folder, or S3 for ``s3://bucket/prefix``. Raises Fatal for any other URL."""
    scheme, separator, _ = connection.url.partition("://")
    if not separator:
        from kaption.objectstore.folder import FolderStore

        return FolderStore(Path(connection.url).expanduser())
    if scheme == "s3":
        from kaption.objectstore.s3 import S3Store

        return S3Store(connection)
    raise Fatal(f"store.url {connection.url!r}: give a folder or s3://bucket/prefix")


def patiently(call: Callable[[], T]) -> T:
    """Return what the call returns; repeat it while it raises Retry, for up to `PATIENCE_S`.

    For readers and compaction, which have no engine around them that waits. Raises the last Retry.
    """
    for attempt in stamina.retry_context(on=Retry, attempts=None, timeout=PATIENCE_S):
        with attempt:
            return call()
    raise AssertionError("stamina ends by returning or raising")
