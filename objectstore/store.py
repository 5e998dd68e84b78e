"""The object store interface: blobs and shards, in a folder or on S3."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol


class Objects(Protocol):
    """What a reader needs of an object store."""

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises KeyError when there is none."""

    def list(self, prefix: str) -> Iterable[str]:
        """Keys that start with `prefix`, in lexical order."""


_PART = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._=-]{1,200}"
_KEY = re.compile(f"{_PART}(?:/{_PART})*")
MAX_KEY_CHARS = 900
"""S3 allows 1,024 bytes, the store's own prefix included."""


def check_key(key: str) -> str:
    """The key itself. Raises ValueError where it is empty, absolute, climbs or has other signs."""
    if len(key) > MAX_KEY_CHARS or _KEY.fullmatch(key) is None:
        raise ValueError(
            f"not an object key: {key[:300]!r}; give a relative path of [A-Za-z0-9._=-], no . or .."
        )
    return key


def check_prefix(prefix: str) -> str:
    """The prefix itself: empty, or the beginning of a key. Raises ValueError."""
    if prefix:
        check_key(prefix.removesuffix("/") if prefix.endswith("/") else prefix)
    return prefix


class ObjectStore(ABC):
    """Named objects, written whole.

    Keys are relative, ``/``-separated, of [A-Za-z0-9._=-]. Every call may be made from any thread
    and raises `kaption.connections.errors.Retry` when the store cannot be reached or is busy, and
    `Fatal` when it refuses us (credentials, missing bucket), saying what to do.
    """

    @abstractmethod
    def put(
        self, key: str, data: bytes | Path, *, media_type: str = "application/octet-stream"
    ) -> None:
        """Write or replace an object; readers see the old one or the new one, never a part."""

    @abstractmethod
    def put_if_absent(self, key: str, data: bytes, *, media_type: str = "application/json") -> bool:
        """Write an object that does not exist yet; False, changing nothing, if it does.

        A retried request may find its own object: on False, read it and compare.
        """

    @abstractmethod
    def get(self, key: str) -> bytes:
        """The object's bytes. Raises KeyError when there is none."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether the object is there."""

    @abstractmethod
    def written_at(self, key: str) -> datetime:
        """When the object was last written, by the store's clock. Raises KeyError."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[str]:
        """Keys that start with `prefix`, in lexical order."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the object; no error when there is none."""

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""
        try:
            self.exists("ready")
        except Exception as error:  # noqa: BLE001  # a probe reports whatever is wrong
            return f"object store: {error}"
        return None
