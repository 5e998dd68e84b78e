"""Finds the blocks of metadata in an image file: XMP packets, and the bytes that hold JUMBF boxes.

Pillow finds the XMP of TIFF and AVIF. It does not read extended XMP, APP11 segments, the XMP of a
GIF and the Raw profiles that ImageMagick writes into PNG, and `png.read_parts` drops its texts.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

from kaption.workers.decode.png import SIGNATURE

MAX_XMP_BYTES = 16 * 1024 * 1024
"""Most bytes that one packet of a PNG inflates to."""
MAX_INFLATED = 8
"""Most texts of a PNG that are unpacked, each of which may be a bomb. A file has one or two."""
MAX_PARTS = 10_000
"""Most segments of a JPEG that are joined to boxes. Each holds up to 64 kB of a box."""
_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\x00"
_GUID_BYTES = 32
_RDF, _RDF_END = b"<rdf:RDF", b"</rdf:RDF>"
_PNG_XMP = re.compile(rb"xml:com\.adobe\.xmp|xmp|raw profile type .*", re.IGNORECASE | re.DOTALL)
_APP1, _SCAN, _END = 0xE1, 0xDA, 0xD9
# The end of the type of each description box (ISO 19566-5), of which a manifest has many.
_BOX_TYPE = bytes.fromhex("00110010800000aa00389b71")
_APP11 = re.compile(rb"\xff\xeb(?P<size>..)JP(?P<box>..)(?P<number>.{4})", re.DOTALL)
_GIF_JUMBF = b"C2PA_GIF"


def xmp_packets(data: bytes, kind: str, found: object) -> Iterator[bytes]:
    """The XMP packets of a file. `found` is what Pillow found, if anything.

    Raises zlib.error, ValueError and struct.error on a broken file.
    """
    if kind == "JPEG":
        yield from _jpeg_packets(data)
    elif kind == "PNG":
        yield from _png_packets(data)
    elif kind == "GIF":
        at = data.find(b"XMP DataXMP")
        if at >= 0:
            end = data.find(b"<?xpacket end", at)
            whole = data[at + 11 : end if end >= 0 else len(data)].rpartition(b">")[0] + b">"
            # The standard writes it in one piece. Careless programs write it in sub-blocks.
            yield whole if whole.startswith(b"<") else b"".join(_sub_blocks(data, at + 11))
    elif kind == "WEBP":
        yield from (body for name, body in _riff_chunks(data) if name == b"XMP ")
    elif isinstance(found, str):
        yield found.encode()
    elif isinstance(found, bytes):
        yield found


def packets_with(data: bytes, word: bytes) -> Iterator[bytes]:
    """The packets that stand in the bytes as they are, wherever, and hold the word in any case.

    The word is given in lower case.

    XMP is made to be found so (XMP, part 1, 7.3.2). It stands in the EXIF data and in Photoshop's
    resources of any format, in chunks and segments with a wrong name, and on later pages.
    """
    # A word behind the last end is in no packet. Most files have no end, and nothing to lower.
    last = data.rfind(_RDF_END)
    start, lowered = 0, data[: last + len(word)].lower() if last >= 0 else b""
    while (at := lowered.find(word, start)) >= 0:
        # What was looked through is not looked through again.
        begin, end = data.rfind(_RDF, start, at), data.find(_RDF_END, at)
        start = end + len(_RDF_END)
        if begin >= 0:
            yield data[begin:start]


def has_jumbf(data: bytes) -> bool:
    """Whether a file may hold a JUMBF box: the search that is cheap enough for every image."""
    return data.rfind(_BOX_TYPE) >= 0


def jumbf(data: bytes, kind: str) -> bytes:
    """The bytes of a file, arranged so that each JUMBF box lies in one piece.

    JPEG and GIF part a box. All other containers hold it as it is (C2PA 2.1, appendix A), and so
    does what stands behind the end of an image: another box, or the video of a moving photograph.
    """
    if kind == "GIF":
        return b"".join(_gif_pieces(data))
    return b"".join(_jpeg_pieces(data)) if kind == "JPEG" else data


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The marker and the body of each segment before the first scan."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        if marker in (0x00, 0xFF):  # a fill byte, or garbage between segments as Pillow skips it
            at += 1
            continue
        if marker in (_SCAN, _END):
            return
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, data[at + 4 : at + 2 + size]
        at += 2 + max(size, 2)


def _jpeg_packets(data: bytes) -> Iterator[bytes]:
    extended: dict[bytes, list[tuple[int, bytes]]] = {}
    for marker, body in _jpeg_segments(data):
        if marker != _APP1:
            continue
        if body.startswith(_XMP):
            yield body[len(_XMP) :]
        elif body.startswith(_EXTENDED_XMP):
            # An id of the packet, its size, and the offset of this part (XMP, part 3, 1.1.3.1).
            rest = body[len(_EXTENDED_XMP) :]
            _, offset = struct.unpack_from(">II", rest, _GUID_BYTES)
            part = (offset, rest[_GUID_BYTES + 8 :])
            extended.setdefault(rest[:_GUID_BYTES], []).append(part)
    for parts in extended.values():
        yield b"".join(part for _, part in sorted(parts))


def _jpeg_pieces(data: bytes) -> Iterator[bytes]:
    """The boxes of the APP11 segments, and the bytes between these.

    The segments are found by their beginning, which compressed pixels never hold, and not by a walk
    from the first one: a second image behind the end has boxes too (CIPA DC-007, MPO).
    """
    parts: dict[tuple[bytes, bytes], bytes] = {}
    at = 0
    for _ in range(MAX_PARTS):
        found = _APP11.search(data, at)
        if found is None:
            break
        yield data[at : found.start()]
        at = max(found.end(), found.start() + 2 + int.from_bytes(found["size"], "big"))
        part = found["box"], found["number"]
        if part in parts:  # the next image counts from one again
            yield from _joined(parts)
            parts = {}
        parts[part] = data[found.end() : at]
    yield from _joined(parts)
    yield data[at:]


def _joined(parts: dict[tuple[bytes, bytes], bytes]) -> Iterator[bytes]:
    """Boxes without the headers that each part repeats (ISO 19566-5, annex D)."""
    held = None
    for (box, _), part in sorted(parts.items()):
        header = 16 if part.startswith(b"\x00\x00\x00\x01") else 8
        yield part[header:] if box == held else part
        held = box


def _png_packets(data: bytes) -> Iterator[bytes]:
    at = len(SIGNATURE)
    inflated = 0
    while at + 8 <= len(data) and inflated < MAX_INFLATED:
        length, name = struct.unpack_from(">I4s", data, at)
        if name in (b"iTXt", b"zTXt", b"tEXt"):
            keyword, _, rest = data[at + 8 : at + 8 + length].partition(b"\x00")
            if _PNG_XMP.fullmatch(keyword):
                inflated += 1
                yield _png_text(name, rest).removeprefix(_XMP)
        at += length + 12


def _png_text(name: bytes, rest: bytes) -> bytes:
    packed = name == b"zTXt"
    if name == b"iTXt":
        packed = rest[:1] == b"\x01"
        # After two bytes about compression come a language and a translated keyword.
        rest = rest[2:].split(b"\x00", 2)[-1]
    elif packed:
        rest = rest[1:]
    text = zlib.decompressobj().decompress(rest, MAX_XMP_BYTES) if packed else rest
    if name == b"iTXt" or b"<" in text:
        return text
    # ImageMagick writes a name, the number of bytes, and the bytes as hex digits.
    return bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        yield name, data[at + 8 : at + 8 + size] if name == b"XMP " else b""
        at += 8 + size + size % 2


def _gif_pieces(data: bytes) -> Iterator[bytes]:
    """The content of the application extensions with boxes, and the bytes between these."""
    at = 0
    while (found := data.find(_GIF_JUMBF, at)) >= 0:
        yield data[at:found]
        blocks = list(_sub_blocks(data, found + 11))
        yield from blocks
        at = found + 11 + sum(map(len, blocks)) + len(blocks)
    yield data[at:]


def _sub_blocks(data: bytes, at: int) -> Iterator[bytes]:
    while at < len(data) and data[at]:
        yield data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
