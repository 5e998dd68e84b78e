"""Images of known content in any mode and format, and damaged ones."""

import re
import struct
import zlib
from importlib.resources import files
from io import BytesIO

from PIL import Image, ImageCms

from kaption.workers.decode.decoded import Decoded

QUADRANTS = {(0, 0): (220, 40, 40), (1, 0): (40, 200, 60), (0, 1): (50, 70, 210)}
"""Colours of three quadrants by column and row. The caller gives the fourth."""
GREY = (90, 90, 90)
PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
)


def quadrants(width: int = 192, height: int = 128, last: tuple[int, ...] = GREY) -> Image.Image:
    image = Image.new("RGB", (width, height), last)
    for (column, row), colour in QUADRANTS.items():
        left, top = column * width // 2, row * height // 2
        image.paste(colour, (left, top, left + width // 2, top + height // 2))
    return image


def shows_quadrants(
    decoded: Decoded, last: tuple[int, ...] = GREY, tolerance: int = 16, grey: bool = False
) -> bool:
    """Whether the middle of each quadrant has its colour, or its luma."""
    image = opened(decoded)
    for column in (0, 1):
        for row in (0, 1):
            at = (image.width * (1 + 2 * column) // 4, image.height * (1 + 2 * row) // 4)
            want = QUADRANTS.get((column, row), last)
            if grey:
                want = (round(0.299 * want[0] + 0.587 * want[1] + 0.114 * want[2]),) * 3
            got = image.getpixel(at)
            assert isinstance(got, tuple)
            if any(abs(a - b) > tolerance for a, b in zip(got, want, strict=True)):
                return False
    return True


def opened(decoded: Decoded) -> Image.Image:
    image = Image.open(BytesIO(decoded.jpeg))
    image.load()
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def photograph(name: str) -> Image.Image:
    """A photograph of scikit-image as RGB."""
    data = (files("skimage") / "data" / name).read_bytes()
    return Image.open(BytesIO(data)).convert("RGB")


def png_chunk(name: bytes, body: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(body, zlib.crc32(name)) if crc is None else crc
    return struct.pack(">I4s", len(body), name) + body + struct.pack(">I", crc)


def png_insert(data: bytes, chunk: bytes) -> bytes:
    """Insert a chunk after the header."""
    return data[:33] + chunk + data[33:]


def png_of_rows(width: int, height: int, rows: int, interlace: int = 0) -> bytes:
    """A grey PNG whose header says `height` rows and whose data has `rows`."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlace)
    raw = b"".join(
        b"\x00" + bytes((x * 7 + y * 13) % 200 + 20 for x in range(width)) for y in range(rows)
    )
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(raw))
        + png_chunk(b"IEND", b"")
    )


def jpeg_with_height(data: bytes, height: int) -> bytes:
    """The JPEG with another height in its header."""
    frame = re.search(rb"\xff[\xc0-\xc2]\x00[\x08-\x20]\x08", data)
    assert frame is not None
    at = frame.start() + 5
    return data[:at] + struct.pack(">H", height) + data[at + 2 :]


def slow_jpeg(scans: int) -> bytes:
    """A progressive JPEG that repeats a refinement scan. It takes seconds to decode."""
    image = photograph("coffee.png").resize((4000, 4000))
    data = saved(image.convert("L"), "JPEG", quality=1, progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + b"\xff\xd9"


def swapped_profile() -> bytes:
    """An RGB profile with red and blue swapped."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", profile, 128)[0]
    entries = {bytes(profile[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(count)}
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    name = "sRGB".encode("utf-16-be")
    while name in profile:
        at = profile.index(name)
        profile[at : at + len(name)] = "test".encode("utf-16-be")
    return bytes(profile)
