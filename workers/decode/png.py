"""PNG files reduced to what makes the image, with what Pillow does not check.

Pillow refuses a good image for a wrong checksum on a text chunk, and accepts a wrong checksum
on the image itself, or rows that are not there.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from kaption.schemas import Reason
from kaption.workers.runtime.stage import Reject

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PROFILE_BYTES = 4 * 1024 * 1024
_CRITICAL = {b"IHDR", b"PLTE", b"IDAT"}
_KEPT = {*_CRITICAL, b"tRNS", b"eXIf"}
"""Text is dropped (bombs, wrong checksums), and so are the later frames of an animation."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7: x start, y start, x step, y step of each pass (PNG specification, 8.2).
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


@dataclass(frozen=True, slots=True)
class PngParts:
    """The chunks of the image. `cut`: the file ends inside its pixel data."""

    file: bytes
    header: bytes
    pixels: tuple[memoryview, ...]
    cut: bool

    def is_whole(self) -> bool:
        """Inflate and count: does the pixel data hold every row? As slow as decoding."""
        due = _raw_bytes(self.header)
        inflate = zlib.decompressobj()
        got = 0
        try:
            for part in self.pixels:
                tail: bytes | memoryview = part
                while tail and got < due and not inflate.eof:
                    got += len(inflate.decompress(tail, 1 << 20))
                    tail = inflate.unconsumed_tail
        except zlib.error:
            return False
        return got >= due


def read_parts(data: bytes) -> PngParts:
    """Take a PNG apart and make it anew from its necessary chunks.

    Raises Reject (decode_failed, truncated) where a necessary chunk is damaged or missing.
    """
    out: list[bytes | memoryview] = [SIGNATURE]
    header = b""
    pixels: list[memoryview] = []
    cut = True
    for name, body, sound in _chunks(memoryview(data)):
        if name == b"IEND":
            cut = False
            break
        if sound is False and name in _CRITICAL:
            raise Reject(Reason.DECODE_FAILED, f"PNG: {name.decode()} fails its checksum")
        if name == b"IHDR" and not header:
            header = bytes(body)
        elif name == b"IDAT":
            pixels.append(body)
        elif name == b"iCCP":
            if not _profile_is_sane(bytes(body)):
                continue
        elif name not in _KEPT:
            continue
        out += _chunk(name, body)
    if len(header) != 13 or header[9] not in _CHANNELS:
        raise Reject(Reason.NOT_AN_IMAGE, "PNG: no valid header")
    if not pixels:
        raise Reject(Reason.TRUNCATED, "PNG: no pixel data")
    out += _chunk(b"IEND", b"")
    return PngParts(b"".join(out), header, tuple(pixels), cut)


def _chunks(view: memoryview) -> Iterator[tuple[bytes, memoryview, bool | None]]:
    """Name, body and whether its checksum is right; none where the file ends before it does."""
    at = len(SIGNATURE)
    while at + 8 <= len(view):
        length, name = struct.unpack_from(">I4s", view, at)
        body = view[at + 8 : at + 8 + length]
        end = at + 8 + length
        sound = None
        if end + 4 <= len(view):
            crc = zlib.crc32(body, zlib.crc32(name))
            sound = view[end : end + 4] == crc.to_bytes(4, "big")
        yield name, body, sound
        at = end + 4


def _chunk(name: bytes, body: bytes | memoryview) -> tuple[bytes, bytes | memoryview, bytes]:
    crc = zlib.crc32(body, zlib.crc32(name))
    return struct.pack(">I4s", len(body), name), body, crc.to_bytes(4, "big")


def _profile_is_sane(body: bytes) -> bool:
    """Whether an iCCP chunk inflates, to a bounded size; a broken one must not cost the image."""
    _, _, rest = body.partition(b"\x00")
    inflate = zlib.decompressobj()
    try:
        inflate.decompress(rest[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return False
    return inflate.eof


def _raw_bytes(header: bytes) -> int:
    """Size of the filtered scanlines, from IHDR."""
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    bits = depth * _CHANNELS[colour]
    if not interlace:
        return int(height * (1 + (width * bits + 7) // 8))
    total = 0
    for x, y, dx, dy in _PASSES:
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total
