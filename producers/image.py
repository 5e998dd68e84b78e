"""Turns an image that a producer has (bytes, file, URL) into the ImageSource of a record."""

from __future__ import annotations

import hashlib
import stat
import threading
from pathlib import Path
from typing import TypeGuard

from kaption.connections.errors import Fault
from kaption.connections.settings import StoreConnection
from kaption.objectstore import BlobStore, open_store
from kaption.producers.errors import PublishError, TooLargeError
from kaption.schemas import BlobRef, ImageSource
from kaption.schemas.limits import INLINE_IMAGE_BYTES

BLOB_IMAGE_BYTES = 256 * 1024 * 1024
"""Largest image that is read into memory for the blob store. Ingest takes 32 MiB by default."""
MEDIA_TYPE = "application/octet-stream"
"""Media type of stored images: nobody has looked at their bytes yet."""


def image_source(
    image: bytes | Path | str,
    folder: Path = Path(),
    max_bytes: int = BLOB_IMAGE_BYTES,
    advice: str = "give its URL, or a smaller one",
) -> tuple[ImageSource, bytes | None]:
    """The ImageSource of a record, and the bytes to store before the record is sent, or None.

    A string with ``://`` is a URL; any other string is a file's path. Paths are relative to
    `folder`. Bytes and files become inline images, or references to the blob store if they are
    larger than INLINE_IMAGE_BYTES. Raises TooLargeError with `advice` for more than `max_bytes`,
    OSError if a file cannot be read, and ValueError for what is no regular file.
    """
    if is_url(image):
        return ImageSource(url=image), None
    content = _image_bytes(image, folder, max_bytes, advice)
    if len(content) <= INLINE_IMAGE_BYTES:
        return ImageSource(inline=content), None
    return stored_source(content), content


def stored_source(content: bytes) -> ImageSource:
    """The reference to bytes in the blob store, by their sha256."""
    sha256 = hashlib.sha256(content).hexdigest()
    return ImageSource(blob=BlobRef(sha256=sha256, bytes=len(content), media_type=MEDIA_TYPE))


def is_url(image: bytes | Path | str) -> TypeGuard[str]:
    """Whether it is a URL; otherwise it is bytes or the path of a file."""
    return isinstance(image, str) and "://" in image


def _image_bytes(image: bytes | Path | str, folder: Path, max_bytes: int, advice: str) -> bytes:
    """The bytes themselves, or those of a file."""
    if isinstance(image, bytes):
        _check_size(len(image), max_bytes, "the image", advice)
        return image
    path = folder / image
    shown = f"image file {str(image)[:200]!r}"
    try:
        about = path.stat()
        # Reading a pipe or a device may never end.
        if not stat.S_ISREG(about.st_mode):
            raise ValueError(f"{shown} is no regular file")
        _check_size(about.st_size, max_bytes, shown, advice)
        return path.read_bytes()
    except OSError as error:
        raise OSError(f"{shown} in {folder.absolute()}: {error.strerror}") from error


def _check_size(size: int, max_bytes: int, what: str, advice: str) -> None:
    if size > max_bytes:
        kind = "an inline image" if max_bytes == INLINE_IMAGE_BYTES else "an image"
        raise TooLargeError(f"{what} has {size} bytes, {kind} at most {max_bytes}: {advice}")


NO_STORE = (
    "give its URL, or store it as a blob: give the Publisher a store, the one that the workers "
    "have, as in Publisher(..., store=StoreConnection(url='s3://bucket/prefix'))"
)


class ClaimCheck:
    """The blob store, opened when the first image needs it. Any thread may call."""

    def __init__(self, store: StoreConnection | None) -> None:
        self._connection = store
        self._opening = threading.Lock()
        self._blobs: BlobStore | None = None

    def source(self, image: bytes | Path | str) -> tuple[ImageSource, bytes | None]:
        """As `image_source`; without a blob store only inline images are taken.

        Raises TooLargeError, OSError and ValueError.
        """
        if self._connection is None:
            return image_source(image, max_bytes=INLINE_IMAGE_BYTES, advice=NO_STORE)
        return image_source(image)

    def reference(self, content: bytes) -> ImageSource:
        """As `stored_source`. Raises TooLargeError if there is no blob store."""
        if self._connection is None:
            raise TooLargeError(
                f"the image has {len(content)} bytes, too many for a message of this topic: "
                f"{NO_STORE}; or raise the topic's max.message.bytes"
            )
        return stored_source(content)

    def store(self, content: bytes) -> None:
        """Put bytes into the blob store; storing the same bytes again changes nothing.

        Raises PublishError if the store is down or refuses.
        """
        assert self._connection is not None  # `source` and `reference` check it
        try:
            with self._opening:
                if self._blobs is None:
                    self._blobs = BlobStore(open_store(self._connection))
            self._blobs.put(content, MEDIA_TYPE)
        except Fault as error:
            raise PublishError(
                f"the image could not be stored, and its record was not sent: {error}"
            ) from error
        except ModuleNotFoundError as error:
            raise PublishError(f"S3 needs {error.name}: pip install {error.name}") from error
