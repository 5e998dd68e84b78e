"""Stored images, fetched and opened for a model."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from kaption.objectstore.blobs import BlobStore, CorruptBlobError
from kaption.schemas import ImageRef, Reason
from kaption.workers.runtime.stage import Dead, Reject

if TYPE_CHECKING:
    from PIL import Image


def open_stored(blobs: BlobStore, image: ImageRef) -> Image.Image:
    """The stored image, RGB and decoded.

    It is opened in this process, unlike what a crawler delivers: ingest wrote it, re-encoded and of
    bounded size. Raises Reject where the blob is gone, Dead where it is damaged,
    Retry where the store is down.
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
    # Pillow's decoders raise these for damaged files, not only its own UnidentifiedImageError.
    except (OSError, SyntaxError, ValueError) as error:
        raise Dead(f"stored image {image.blob.sha256} cannot be decoded: {error}") from error
    return opened.convert("RGB")
