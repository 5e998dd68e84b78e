"""Whether a JPEG holds all of its image.

libjpeg fills what is missing with mid-grey and only warns, and Pillow drops its warnings; a file
without its end marker, on the other hand, is refused by Pillow though often nothing is missing.
Both are settled by putting more coded data behind what is there: a decoder that has all its rows
never looks at it, one that has not turns it into pixels.

Not found: a progressive file that lost scans and got an end marker again. It is a whole image,
only coarser.
"""

from __future__ import annotations

import re
from io import BytesIO

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_END_OF_IMAGE = 0xD9
_RESTARTS = range(0xD0, 0xD8)
_NOISE = bytes(range(0x35, 0x75)) * 2
_PROBE = _NOISE + b"".join(bytes((0xFF, restart)) + _NOISE for restart in _RESTARTS)
_END = b"\xff\xd9"


def may_be_short(image: Image.Image) -> bool:
    """Whether the last pixel of a decoded JPEG looks like libjpeg's filling. Cheap, no proof."""
    pixel = image.getpixel((image.width - 1, image.height - 1))
    channels = pixel if isinstance(pixel, tuple) else (pixel,)
    return all(channel in (127, 128) for channel in channels)  # 127: inverted CMYK


def is_whole(data: bytes) -> bool:
    """Whether no part of the first image is missing. Decodes twice at full size."""
    coded = data[: _image_end(data)].rstrip(b"\xff")
    return _pixels(coded + _END) == _pixels(coded + _PROBE + _END)


def with_end(data: bytes) -> bytes:
    """The first image in the file, closed by an end marker."""
    return data[: _image_end(data)].rstrip(b"\xff") + _END


def _image_end(data: bytes) -> int:
    """Where the first image's end marker is, or ought to be.

    Searching from the back instead would find the end of a thumbnail or of a second image.
    """
    at = 2
    while found := _MARKER.search(data, at):
        marker = found[1][0]
        if marker == _END_OF_IMAGE:
            return found.start()
        at = found.end()
        if marker != 0x01 and marker not in _RESTARTS:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
        # Behind a scan's header the search runs over coded data, where FF is followed by 00.
    return len(data)


def _pixels(data: bytes) -> bytes:
    with JpegImageFile(BytesIO(data)) as image:
        image.load()
        return image.tobytes()
