"""Fetches a stored image and opens it for a model."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from kaption.objectstore.blobs import BlobStore, CorruptBlobError
from kaption.schemas import ImageRef, Reason
from kaption.workers.runtime.stage import Dead, Reject

if TYPE_CHECKING:
    from PIL import Image


def open_stored(blobs: BlobStore, image: ImageRef) -> Image.Image:
    """The stored image, decoded to RGB.

    This process opens it itself, although it does not open a crawler's images: ingest has
    re-encoded every stored image and bounded its size. Raises Reject if the blob is missing, Dead
    if it is damaged, Retry if the store is down.
    """
    from PIL import Image

    try:
        data = blobs.get(image.blob)
    except KeyError as error:
        raise Reject(Reason.BLOB_MISSING, image.blob.sha256) from error
    except CorruptBlobError as error:
        raise Dead(str(error)) from error
    try:
        opened = Image.open(BytesIO(data))
        opened.load()
    # For damaged files Pillow raises these errors besides its own UnidentifiedImageError.
    except (OSError, SyntaxError, ValueError) as error:
        raise Dead(f"stored image {image.blob.sha256} cannot be decoded: {error}") from error
    return opened.convert("RGB")
