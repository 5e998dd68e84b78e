"""An image as a producer has it, made into what a record can hold."""

from __future__ import annotations

import stat
from pathlib import Path

from producers.errors import TooLargeError
from schemas import ImageSource
from schemas.limits import INLINE_IMAGE_BYTES


def image_source(image: bytes | Path | str, folder: Path = Path()) -> ImageSource:
    """Bytes and files become inline images, a string with ``://`` in it is a URL.

    Any other string is the path of a file; paths are relative to `folder`. Raises TooLargeError,
    OSError where a file cannot be read, and ValueError for what can be no image.
    """
    if isinstance(image, bytes):
        _check_size(len(image), "the image")
        return ImageSource(inline=image)
    if isinstance(image, str) and "://" in image:
        return ImageSource(url=image)
    path = folder / image
    shown = f"image file {str(image)[:200]!r}"
    try:
        about = path.stat()
        # A pipe or a device would be read for ever.
        if not stat.S_ISREG(about.st_mode):
            raise ValueError(f"{shown} is no regular file")
        _check_size(about.st_size, shown)
        content = path.read_bytes()
    except OSError as error:
        raise OSError(f"{shown} in {folder.absolute()}: {error.strerror}") from error
    return ImageSource(inline=content)


def _check_size(size: int, what: str) -> None:
    if size > INLINE_IMAGE_BYTES:
        raise TooLargeError(
            f"{what} has {size} bytes, an inline image at most {INLINE_IMAGE_BYTES}: "
            "give its URL, or store it as a blob"
        )
