"""Image bytes under the sha256 of their content."""

from __future__ import annotations

import hashlib

from kaption.objectstore.store import ObjectStore
from kaption.schemas import BlobRef


class CorruptBlobError(Exception):
    """A blob's bytes are not those of its name: the store or a person changed it."""


class BlobStore:
    """Content-addressed bytes, written once: ``blobs/ab/cd/abcd...``.

    Errors of the object store pass through: Retry while it is down, Fatal when it refuses us.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def put(self, data: bytes, media_type: str) -> BlobRef:
        """Store bytes; the same bytes again cost one refused request and change nothing."""
        ref = BlobRef(
            sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), media_type=media_type
        )
        self._objects.put_if_absent(blob_key(ref.sha256), data, media_type=media_type)
        return ref

    def get(self, ref: BlobRef) -> bytes:
        """The bytes, verified. Raises KeyError when there are none, CorruptBlobError."""
        data = self._objects.get(blob_key(ref.sha256))
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise CorruptBlobError(f"blob {ref.sha256} holds other bytes: {len(data)} of them")
        return data

    def exists(self, ref: BlobRef) -> bool:
        """Whether the blob is stored."""
        return self._objects.exists(blob_key(ref.sha256))

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""
        return self._objects.ready()


def blob_key(sha256: str) -> str:
    """Two levels of 256, so that no folder grows past a file system's comfort."""
    return f"blobs/{sha256[:2]}/{sha256[2:4]}/{sha256}"
