"""Fetches a stored image and opens it for a model."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from kaption.objectstore.blobs import BlobStore, CorruptBlobError
from kaption.schemas import BlobRef, ImageRef, Reason
from kaption.workers.runtime.stage import Dead, Reject

if TYPE_CHECKING:
    from PIL import Image


def red_square() -> Image.Image:
    """A good image for a stage's probe, of the size of small web images."""
    from PIL import Image

    return Image.new("RGB", (224, 224), (220, 20, 20))


def open_stored(blobs: BlobStore, image: ImageRef) -> Image.Image:
    """The stored image, decoded to RGB.

    This process opens it itself, although it does not open a crawler's images: ingest has
    re-encoded every stored image and bounded its size. Raises Reject if the blob is missing, Dead
    if it is damaged, Retry if the store is down.
    """
    return opened(stored_bytes(blobs, image.blob), image.blob)


def opened(data: bytes, blob: BlobRef) -> Image.Image:
    """The image in a blob's bytes, decoded to RGB. Raises Dead if it is damaged."""
    from PIL import Image

    try:
        image = Image.open(BytesIO(data))
        image.load()
    # For damaged files Pillow raises these errors besides its own UnidentifiedImageError.
    except (OSError, SyntaxError, ValueError) as error:
        raise Dead(f"stored image {blob.sha256} cannot be decoded: {error}") from error
    return image.convert("RGB")


def stored_bytes(blobs: BlobStore, blob: BlobRef) -> bytes:
    """A blob's bytes. Raises Reject if it is missing, Dead if it is damaged, Retry."""
    try:
        return blobs.get(blob)
    except KeyError as error:
        raise Reject(Reason.BLOB_MISSING, blob.sha256) from error
    except CorruptBlobError as error:
        raise Dead(str(error)) from error
