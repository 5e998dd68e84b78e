"""Turns an image that a producer has (bytes, file, URL) into the ImageSource of a record."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from pathlib import Path

from kaption.connections.errors import Fault
from kaption.connections.settings import StoreConnection
from kaption.objectstore import BlobStore, open_store
from kaption.producers.errors import PublishError, TooLargeError
from kaption.schemas import BlobRef, ImageSource
from kaption.schemas.address import image_address, scheme_of
from kaption.schemas.limits import INLINE_IMAGE_BYTES

BLOB_IMAGE_BYTES = 256 * 1024 * 1024
"""Largest image that is read into memory for the blob store. Ingest takes 32 MiB by default."""
MEDIA_TYPE = "application/octet-stream"
"""Media type of stored images: nobody has looked at their bytes yet."""


def image_source(
    image: bytes | Path | str,
    page_url: object = None,
    folder: Path | None = None,
    max_bytes: int = BLOB_IMAGE_BYTES,
    advice: str = "give its URL, or a smaller one",
) -> tuple[ImageSource, bytes | None]:
    """The ImageSource of a record, and the bytes to store before the record is sent, or None.

    A string is a URL or a data: URI, with `page_url` as in `image_address`. It may come from a
    stranger, so it names a file only where `folder` is given and the file lies below it, links
    followed. Bytes and files become inline images, or references to the blob store if they are
    larger than INLINE_IMAGE_BYTES. Raises TooLargeError with `advice` for more than `max_bytes`,
    OSError if a file cannot be read, and ValueError for other strings and for what is no regular
    file.
    """
    shown = f"image file {str(image)[:200]!r}"
    if isinstance(image, str):
        image = _meant(image, page_url, folder)
        if isinstance(image, str):
            return ImageSource(url=image), None
    if isinstance(image, Path):
        where = f"{shown} in {(folder or Path()).absolute()}"
        content = _file_bytes(image, shown, where, max_bytes, advice)
    else:
        content = image
        _check_size(len(content), max_bytes, "the image", advice)
    if len(content) <= INLINE_IMAGE_BYTES:
        return ImageSource(inline=content), None
    return stored_source(content), content


def file_below(folder: Path, name: str | Path) -> Path:
    """The file `name` in `folder`, with links followed. Raises ValueError if it is not below."""
    root = os.path.realpath(folder)
    try:
        found = Path(os.path.realpath(folder / name))
    except ValueError as error:
        raise ValueError(f"image file {str(name)[:200]!r} is not the name of a file") from error
    if not found.is_relative_to(root):
        raise ValueError(
            f"image file {str(name)[:200]!r} lies outside of {folder.absolute()}: only files below "
            "this folder are read, and links do not lead out of it; move the files there"
        )
    return found


def stored_source(content: bytes) -> ImageSource:
    """The reference to bytes in the blob store, by their sha256."""
    sha256 = hashlib.sha256(content).hexdigest()
    return ImageSource(blob=BlobRef(sha256=sha256, bytes=len(content), media_type=MEDIA_TYPE))


def _meant(text: str, page_url: object, folder: Path | None) -> str | bytes | Path:
    """A URL, the bytes of a data: URI, or a file below `folder`. Raises ValueError."""
    web = text.startswith(("//", "/\\")) or scheme_of(text) in ("http", "https", "data")
    if web or folder is None:
        return image_address(text, page_url)
    try:
        found = file_below(folder, text)
    except ValueError:
        # A path that is none of ours may be one on the page.
        if text.startswith("/") and page_url:
            return image_address(text, page_url)
        raise
    if text.startswith("/") and page_url and not found.exists():
        return image_address(text, page_url)
    if scheme_of(text) and not found.exists():
        return image_address(text)  # says that it is no scheme for an image
    return found


def _file_bytes(path: Path, shown: str, where: str, max_bytes: int, advice: str) -> bytes:
    try:
        about = path.stat()
        # Reading a pipe or a device may never end.
        if not stat.S_ISREG(about.st_mode):
            raise ValueError(f"{shown} is not a regular file")
        _check_size(about.st_size, max_bytes, shown, advice)
        return path.read_bytes()
    except OSError as error:
        raise OSError(f"{where}: {error.strerror}") from error


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

    def source(
        self, image: bytes | Path | str, page_url: object = None
    ) -> tuple[ImageSource, bytes | None]:
        """As `image_source`; without a blob store only inline images are taken.

        Raises TooLargeError, OSError and ValueError.
        """
        if self._connection is None:
            return image_source(image, page_url, max_bytes=INLINE_IMAGE_BYTES, advice=NO_STORE)
        return image_source(image, page_url)

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
