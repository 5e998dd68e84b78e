"""A store for a dry run: what would be written stays in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from kaption.objectstore import ObjectStore


class UnwrittenStore(ObjectStore):
    """Reads another store, and changes nothing in it. Listings leave out what is in memory."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._written: dict[str, bytes] = {}

    def put(
        self, key: str, data: bytes | Path, *, media_type: str = "application/octet-stream"
    ) -> None:
        """Keep the bytes."""
        self._written[key] = data if isinstance(data, bytes) else data.read_bytes()

    def put_if_absent(self, key: str, data: bytes, *, media_type: str = "application/json") -> bool:
        """Keep the bytes, unless the key exists."""
        if self.exists(key):
            return False
        self._written[key] = data
        return True

    def get(self, key: str) -> bytes:
        """Return what was kept, else the other store's object."""
        kept = self._written.get(key)
        return self._objects.get(key) if kept is None else kept

    def get_part(self, key: str, start: int, size: int) -> bytes:
        """Return a part of what `get` returns."""
        kept = self._written.get(key)
        if kept is None:
            return self._objects.get_part(key, start, size)
        return kept[start : start + size]

    def exists(self, key: str) -> bool:
        """Return whether `get` finds it."""
        return key in self._written or self._objects.exists(key)

    def written_at(self, key: str) -> datetime:
        """Ask the other store."""
        return self._objects.written_at(key)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Ask the other store."""
        return self._objects.list(prefix, after)

    def folders(self, prefix: str) -> Iterator[str]:
        """Ask the other store."""
        return self._objects.folders(prefix)

    def delete(self, key: str) -> None:
        """Forget what was kept. The other store keeps its object."""
        self._written.pop(key, None)
