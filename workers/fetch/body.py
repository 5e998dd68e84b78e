"""The body of an answer without its content codings: the bytes decide, not the header.

Servers name a coding over a plain body, pack a body twice, or pack it and do not say so.
"""

from __future__ import annotations

from io import BytesIO

from urllib3.exceptions import DecodeError
from urllib3.response import HTTPResponse

_MARKS = {b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
# The most codings that are undone: a hostile body may be packed a thousand times.
_LAYERS = 4
_PART = 256 * 1024


def plain_body(raw: bytes, codings: str, limit: int) -> bytes:
    """The body without the codings that the header names or that its first bytes show.

    A body that is not encoded as the header says is taken as it is. A body above `limit` bytes may
    be cut. Raises DecodeError for a body that begins like its coding and is damaged later.
    """
    named = [each.strip() for each in codings.split(",") if each.strip()]
    for coding in reversed(named[-_LAYERS:]):
        raw = _decoded(raw, coding, limit)
    for _ in range(_LAYERS):
        shown = _shown(raw)
        if shown is None:
            break
        raw = _decoded(raw, shown, limit)
    return raw


def is_whole_image(content: bytes | bytearray) -> bool:
    """Whether it begins and ends as a JPEG, PNG, GIF or WebP does."""
    if content.startswith(b"\xff\xd8\xff"):
        return content.endswith(b"\xff\xd9")
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return content.endswith(b"IEND\xaeB`\x82")
    if content.startswith((b"GIF87a", b"GIF89a")):
        return content.endswith(b"\0;")
    size = int.from_bytes(content[4:8], "little") + 8
    return content.startswith(b"RIFF") and content[8:12] == b"WEBP" and len(content) >= size


def _decoded(raw: bytes, coding: str, limit: int) -> bytes:
    if coding not in HTTPResponse.CONTENT_DECODERS:
        return raw  # compress, exi: nobody packs images so
    packed = HTTPResponse(BytesIO(raw), headers={"Content-Encoding": coding}, preload_content=False)
    parts: list[bytes] = []
    size = 0
    try:
        while size <= limit and (part := packed.read1(_PART, decode_content=True)):
            parts.append(part)
            size += len(part)
    except DecodeError:
        if _shown(raw) == coding.removeprefix("x-"):
            raise
        return raw
    return b"".join(parts)


def _shown(raw: bytes) -> str | None:
    return next((coding for mark, coding in _MARKS.items() if raw.startswith(mark)), None)
