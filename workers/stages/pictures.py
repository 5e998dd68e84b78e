"""Stored pictures, fetched and opened for a model."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Protocol

from kaption.schemas import BlobRef, ImageRef, Reason
from kaption.workers.runtime.stage import Dead, Reject

if TYPE_CHECKING:
    from PIL import Image


class Blobs(Protocol):
    """What the model stages ask of the blob store."""

    def get(self, ref: BlobRef) -> bytes:
        """The content. Raises KeyError where there is none, Retry when the store is down."""

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""


def open_picture(blobs: Blobs, image: ImageRef) -> Image.Image:
    """The stored picture, RGB and decoded.

    It is opened in this process, unlike what a crawler delivers: ingest wrote it, re-encoded and of
    bounded size. Raises Reject where the blob is gone, Dead where it is damaged, Retry.
    """
    from PIL import Image

    try:
        data = blobs.get(image.blob)
    except KeyError as error:
        raise Reject(Reason.BLOB_MISSING, image.blob.sha256) from error
    try:
        picture = Image.open(BytesIO(data))
        picture.load()
    # Pillow's decoders raise these for damaged files, not only its own UnidentifiedImageError.
    except (OSError, SyntaxError, ValueError) as error:
        raise Dead(f"stored picture {image.blob.sha256} cannot be decoded: {error}") from error
    return picture.convert("RGB")
