"""Reduces a PNG file to the chunks of its image, and checks what Pillow does not check.

Pillow refuses a good image for a wrong checksum of a text chunk. It accepts a wrong checksum of the
image data, and missing rows.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from kaption.schemas import Reason
from kaption.workers.decode.colour import MAX_PROFILE_BYTES
from kaption.workers.runtime.stage import Reject

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CRITICAL = {b"IHDR", b"PLTE", b"IDAT"}
_KEPT = {*_CRITICAL, b"tRNS", b"eXIf"}
"""Other chunks are dropped: texts (they may be bombs or have wrong checksums) and the later frames
of an animation."""
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
    """A PNG file and its parts."""

    file: bytes
    """A new file of the necessary chunks."""
    header: bytes
    """The body of IHDR."""
    pixels: tuple[memoryview, ...]
    """The bodies of the IDAT chunks."""
    cut: bool
    """The original file ends before its end chunk."""

    def is_whole(self) -> bool:
        """Whether the pixel data holds every row. It is inflated, which is as slow as decoding."""
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
    """Split a PNG file into its chunks and build a new one from the necessary chunks.

    Raises Reject (decode_failed, truncated, not_an_image) if one of those is damaged or missing.
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
    """Each chunk's name, body and whether its checksum is right (None: the file ends before)."""
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
    """Whether an iCCP chunk inflates to a bounded size. Only the profile is dropped if not."""
    _, _, rest = body.partition(b"\x00")
    inflate = zlib.decompressobj()
    try:
        inflate.decompress(rest[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return False
    return inflate.eof


def _raw_bytes(header: bytes) -> int:
    """Size in bytes of the filtered scanlines, from the body of IHDR."""
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
