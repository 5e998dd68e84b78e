"""Images too large for a message go to the blob store; the record names them (claim check)."""

from __future__ import annotations

import threading
from pathlib import Path

from objectstore import BlobStore, open_store
from producers.errors import PublishError, TooLargeError
from producers.image import MEDIA_TYPE, image_source, stored_source
from schemas import ImageSource, StoreConnection
from schemas.errors import Fault
from schemas.limits import INLINE_IMAGE_BYTES

NO_STORE = (
    "give its URL, or store it as a blob: give the Publisher a store, the one that the workers "
    "have, as in Publisher(..., store=StoreConnection(url='s3://bucket/prefix'))"
)


class Claims:
    """The blob store, opened when the first image needs it. Any thread may call."""

    def __init__(self, store: StoreConnection | None) -> None:
        self._connection = store
        self._opening = threading.Lock()
        self._blobs: BlobStore | None = None

    def source(self, image: bytes | Path | str) -> tuple[ImageSource, bytes | None]:
        """What a record holds of an image, and the bytes to `store` before it is sent, if any.

        Raises TooLargeError, OSError and ValueError as `image_source`.
        """
        if self._connection is None:
            return image_source(image, max_bytes=INLINE_IMAGE_BYTES, advice=NO_STORE)
        return image_source(image)

    def reference(self, content: bytes) -> ImageSource:
        """Names bytes by their content. Raises TooLargeError where there is no store for them."""
        if self._connection is None:
            raise TooLargeError(
                f"the image has {len(content)} bytes, too many for a message of this topic: "
                f"{NO_STORE}; or raise the topic's max.message.bytes"
            )
        return stored_source(content)

    def store(self, content: bytes) -> None:
        """Put bytes into the store; those that are there already change nothing.

        Raises PublishError where the store is down or refuses.
        """
        try:
            self._ready().put(content, MEDIA_TYPE)
        except Fault as error:
            raise PublishError(
                f"the image could not be stored, and its record was not sent: {error}"
            ) from error
        except ModuleNotFoundError as error:
            raise PublishError(f"S3 needs {error.name}: pip install {error.name}") from error

    def _ready(self) -> BlobStore:
        assert self._connection is not None  # or there was no reference
        with self._opening:
            if self._blobs is None:
                self._blobs = BlobStore(open_store(self._connection))
            return self._blobs
