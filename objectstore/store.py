"""The object store interface: where images and shards are kept."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

NO_CONDITIONS = (
    "it does not honour If-None-Match: *, so two sinks could write one shard: use AWS S3, "
    "Cloudflare R2, MinIO, SeaweedFS or another with conditional writes, or a folder"
)
MAX_KEY_CHARS = 900
"""S3 allows 1,024 bytes for a key, including the prefix in the store's URL."""

_PART = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._=-]{1,200}"
_KEY = re.compile(f"{_PART}(?:/{_PART})*")


class ObjectStore(ABC):
    """Named objects; each is written whole.

    A key is relative, its parts of [A-Za-z0-9._=-] are separated by ``/``. Any thread may call any
    method. Each method raises `kaption.connections.errors.Retry` when the store cannot be reached
    or is busy, and `Fatal` when it refuses access (credentials, missing bucket); the message says
    what to do.
    """

    @abstractmethod
    def put(
        self, key: str, data: bytes | Path, *, media_type: str = "application/octet-stream"
    ) -> None:
        """Write or replace an object. A reader sees the old or the new object, never a part."""

    @abstractmethod
    def put_if_absent(self, key: str, data: bytes, *, media_type: str = "application/json") -> bool:
        """Write an object unless its key exists. Returns False where it exists.

        A request that was repeated after a lost answer finds the object that it wrote itself. So a
        caller that gets False reads the object and compares.
        """

    @abstractmethod
    def get(self, key: str) -> bytes:
        """Return the object's bytes. Raises KeyError when it does not exist."""

    @abstractmethod
    def get_part(self, key: str, start: int, size: int) -> bytes:
        """Return `size` bytes (1 or more) from byte `start` on; fewer where the object ends before.

        Raises KeyError when the object does not exist.
        """

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Return whether the object exists."""

    @abstractmethod
    def written_at(self, key: str) -> datetime:
        """Return when the object was last written, by the store's clock. Raises KeyError."""

    @abstractmethod
    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Return the keys that start with `prefix` and come after `after`, in lexical order.

        With `after`, `prefix` has to be a folder that has no folders below it: SeaweedFS compares
        the names of folders otherwise than their keys.
        """

    @abstractmethod
    def folders(self, prefix: str) -> Iterator[str]:
        """Return the names of the folders below `prefix`, which ends with ``/``, in their order.

        A folder may have no object left.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete the object. A missing object is no error."""

    def ready(self) -> str | None:
        """Return None when the store answers, else what is wrong."""
        try:
            self.exists("ready")
        except Exception as error:  # noqa: BLE001  # a probe reports whatever is wrong
            return f"object store: {error}"
        return None


def check_key(key: str) -> str:
    """Return the key. Raises ValueError where it is empty, absolute, climbs or has another sign."""
    if len(key) > MAX_KEY_CHARS or _KEY.fullmatch(key) is None:
        raise ValueError(
            f"not an object key: {key[:300]!r}; give a relative path of [A-Za-z0-9._=-], no . or .."
        )
    return key


def check_prefix(prefix: str) -> str:
    """Return the prefix, which is empty or the beginning of a key. Raises ValueError."""
    if prefix:
        check_key(prefix.removesuffix("/") if prefix.endswith("/") else prefix)
    return prefix
