"""An image as a producer has it, made into what a record can hold."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TypeGuard

from producers.errors import TooLargeError
from schemas import ImageSource
from schemas.limits import INLINE_IMAGE_BYTES

_TOO_LARGE = "give its URL, or store it as a blob"


def image_source(image: bytes | Path | str, folder: Path = Path()) -> ImageSource:
    """Bytes and files become inline images, a string with ``://`` in it is a URL.

    Any other string is the path of a file; paths are relative to `folder`. Raises TooLargeError,
    OSError where a file cannot be read, and ValueError for what can be no image.
    """
    if is_url(image):
        return ImageSource(url=image)
    return ImageSource(inline=image_bytes(image, folder, INLINE_IMAGE_BYTES, _TOO_LARGE))


def is_url(image: bytes | Path | str) -> TypeGuard[str]:
    """Whether it names an image elsewhere: all others are bytes, or the path of a file."""
    return isinstance(image, str) and "://" in image


def image_bytes(image: bytes | Path | str, folder: Path, max_bytes: int, advice: str) -> bytes:
    """The bytes themselves, or those of a file.

    Raises as `image_source`; `advice` is what to do about more than `max_bytes`.
    """
    if isinstance(image, bytes):
        _check_size(len(image), max_bytes, "the image", advice)
        return image
    path = folder / image
    shown = f"image file {str(image)[:200]!r}"
    try:
        about = path.stat()
        # A pipe or a device would be read for ever.
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
