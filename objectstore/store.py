"""The object store interface: blobs and shards, in a folder or on S3."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path


class ObjectStore(ABC):
    """Named objects, written whole.

    Keys are relative, ``/``-separated, of [A-Za-z0-9._=-]. Every call may be made from any thread
    and raises `schemas.errors.Retry` when the store cannot be reached or is busy, and
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
