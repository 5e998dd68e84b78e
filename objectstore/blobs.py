"""Image bytes, each stored under the sha256 of its content."""

from __future__ import annotations

import hashlib

from kaption.objectstore.store import ObjectStore
from kaption.schemas import BlobRef


class CorruptBlobError(Exception):
    """A blob's bytes do not have the sha256 in its key: the store or a person changed them."""


class BlobStore:
    """Blobs, each written once under ``blobs/ab/cd/abcd...`` (see `blob_key`).

    Errors of the object store pass through: Retry while it is down, Fatal when it refuses access.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def put(self, data: bytes, media_type: str) -> BlobRef:
        """Store bytes. Storing the same bytes again costs one refused request."""
        ref = BlobRef(
            sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), media_type=media_type
        )
        self._objects.put_if_absent(blob_key(ref.sha256), data, media_type=media_type)
        return ref

    def get(self, ref: BlobRef) -> bytes:
        """Return the verified bytes. Raises KeyError for a missing blob, CorruptBlobError."""
        data = self._objects.get(blob_key(ref.sha256))
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise CorruptBlobError(f"blob {ref.sha256}: its {len(data)} bytes have another sha256")
        return data

    def exists(self, ref: BlobRef) -> bool:
        """Return whether the blob is stored."""
        return self._objects.exists(blob_key(ref.sha256))

    def ready(self) -> str | None:
        """Return None when the store answers, else what is wrong."""
        return self._objects.ready()


def blob_key(sha256: str) -> str:
    """Return a blob's key: two levels of 256 folders, because huge folders slow file systems."""
    return f"blobs/{sha256[:2]}/{sha256[2:4]}/{sha256}"
