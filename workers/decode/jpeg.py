"""Tells whether a JPEG file holds the whole image.

libjpeg fills missing rows with mid-grey and only warns, and Pillow drops the warning. On the other
hand Pillow refuses a file without an end marker, although often no row is missing. The test here
decides both cases: it appends more coded data to the file. A decoder that has all rows ignores the
data, and a decoder that lacks rows turns it into pixels.

The test does not find a progressive file that lost scans and has an end marker. Such a file shows
the whole image, only coarser.
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
    """Whether the last pixel has the grey of libjpeg's filling: a cheap hint, not a proof."""
    pixel = image.getpixel((image.width - 1, image.height - 1))
    channels = pixel if isinstance(pixel, tuple) else (pixel,)
    return all(channel in (127, 128) for channel in channels)  # 127: inverted CMYK


def is_whole(data: bytes) -> bool:
    """Whether the first image in the file is complete. Decodes it twice at full size."""
    coded = data[: _image_end(data)].rstrip(b"\xff")
    return _pixels(coded + _END) == _pixels(coded + _PROBE + _END)


def with_end(data: bytes) -> bytes:
    """The first image in the file, with an end marker."""
    return data[: _image_end(data)].rstrip(b"\xff") + _END


def _image_end(data: bytes) -> int:
    """The offset of the first image's end marker, or of the place where it is missing.

    A search from the back would find the end of a second image instead.
    """
    at = 2
    while found := _MARKER.search(data, at):
        marker = found[1][0]
        if marker == _END_OF_IMAGE:
            return found.start()
        at = found.end()
        if marker != 0x01 and marker not in _RESTARTS:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
        # After a scan's header the search runs over coded data, where 00 follows each FF.
    return len(data)


def _pixels(data: bytes) -> bytes:
    with JpegImageFile(BytesIO(data)) as image:
        image.load()
        return image.tobytes()
