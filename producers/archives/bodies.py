"""The body of an archived answer, without the encodings of its transfer."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterable, Iterator
from functools import partial

# What is read at once, and the most that it may become at once.
_PART, _MOST = 4 * 1024, 64 * 1024
_CHUNKED = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,200})?\r?\n")
# The beginning of a text: packed bytes have control characters.
_TEXT = re.compile(rb"[^\0-\x08\x0e-\x1f\x7f]{,64}(?:(?<=.{64})|\Z)", re.DOTALL)
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# Most encodings that are taken off: a hostile body may be packed a thousand times.
_LAYERS = 4
_IMAGE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF.{4}WEBP|BM.{4}\0{4}|II\*\0|MM\0\*"
    rb"|.{4}ftyp(?:avi[fs]|hei[cx]|mif1|msf1)",
    re.DOTALL,
)
# As browsers do (MIME Sniffing Standard, 7.1), and with a comment before it.
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.{0,200}?-->\s*)?<(?:!doctype\s+html\b"
    rb"|(?:html|head|body|script|iframe|h1|div|font|table|a|style|title|br?|p)(?=[\s>]))",
    re.IGNORECASE | re.DOTALL,
)


def looks_like_image(head: bytes) -> bool:
    """Whether these first bytes are those of an image, whatever it was called."""
    return _IMAGE.match(head) is not None


def looks_like_html(head: bytes) -> bool:
    """Whether these first bytes are those of an HTML page."""
    return _HTML.match(head) is not None


def decoded(
    raw: bytes, headers: Iterable[tuple[str, str]], limit: int, *, cut: bool = False
) -> bytes:
    """The first `limit` bytes of a body, decoded as far as it is encoded.

    Archives keep headers and decode bodies, or the reverse: so the bytes decide, and the headers
    tell only what to try. `cut` says that the body may end early. Raises ValueError for one that
    begins as it should and is broken then.
    """
    codings: dict[str, list[str]] = {"transfer-encoding": [], "content-encoding": []}
    for name, value in headers:
        for each in value.lower().split(","):
            codings.get(name.lower(), []).append(each.partition(";")[0].strip())
    if "chunked" in codings["transfer-encoding"]:
        raw = _tried("chunked", raw, limit, cut=cut)
    elif _CHUNKED.match(raw) and raw.rstrip().endswith(b"\n0"):
        whole, broken = _read("chunked", raw, limit)
        raw = whole if whole and not broken else raw
    for coding in reversed(codings["content-encoding"][-_LAYERS:]):
        if not (looks_like_image(raw) or looks_like_html(raw)):
            raw = _tried(coding, raw, limit, cut=cut)
    for _ in range(_LAYERS):
        coding = "gzip" if raw.startswith(_GZIP) else "zstd" if raw.startswith(_ZSTD) else ""
        if not coding:
            break
        raw = _tried(coding, raw, limit, cut=cut)
    return raw[:limit]


def _tried(coding: str, raw: bytes, limit: int, *, cut: bool) -> bytes:
    """The decoded bytes, or the bytes as they are if they are not encoded."""
    found, broken = _read(coding, raw, limit)
    told = coding == "chunked" or _TEXT.match(raw) is None
    packed = raw.startswith((_GZIP, _ZSTD)) or (found and told)
    if broken and packed and not cut:
        raise ValueError(f"its encoding is broken: {broken}")
    return found if found and (packed or not broken) else raw


def _read(coding: str, raw: bytes, limit: int) -> tuple[bytes, Exception | None]:
    """What can be decoded, at most `limit` bytes, and what ended it."""
    parts: list[bytes] = []
    try:
        for part in _parts(coding, raw):
            parts.append(part[:limit])
            limit -= len(parts[-1])
            if limit <= 0:
                break
    except (OSError, ValueError, zlib.error) as error:
        return b"".join(parts), error
    return b"".join(parts), None


def _parts(coding: str, raw: bytes) -> Iterator[bytes]:
    from fastwarc.stream_io import BrotliReader, ZstdReader

    match coding.removeprefix("x-"):
        case "chunked":
            return _chunks(raw)
        case "gzip":
            return _inflated(raw, wbits=31)
        case "deflate":
            # Servers send it with and without the header of zlib.
            headed = len(raw) > 1 and raw[0] & 15 == 8 and int.from_bytes(raw[:2]) % 31 == 0
            return _inflated(raw, wbits=15 if headed else -15)
        case "br":
            return iter(partial(BrotliReader(io.BytesIO(raw)).read, _PART), b"")
        case "zstd":
            return iter(partial(ZstdReader(io.BytesIO(raw)).read, _PART), b"")
    # Headers name much that is no encoding: none, utf-8, aws-chunked.
    return iter((raw,))


def _chunks(raw: bytes) -> Iterator[bytes]:
    """The chunks of a body (RFC 9112, 7.1). A cut one ends without an error."""
    at = 0
    while found := _CHUNKED.match(raw, at):
        size = int(found[1], 16)
        if not size:
            return
        yield raw[found.end() : found.end() + size]
        at = found.end() + size + len(b"\r\n")
    if at < len(raw):
        raise ValueError(f"no chunk at byte {at}")


def _inflated(raw: bytes, wbits: int) -> Iterator[bytes]:
    """The parts of all members. fastwarc's reader loses the last part where there is an error."""
    while raw:
        inflate = zlib.decompressobj(wbits)
        for at in range(0, len(raw), _PART):
            yield inflate.decompress(raw[at : at + _PART], _MOST)
            while inflate.unconsumed_tail:
                yield inflate.decompress(inflate.unconsumed_tail, _MOST)
            if inflate.eof:
                rest = inflate.unused_data + raw[at + _PART :]
                # Browsers ignore what follows and is no member.
                raw = rest if rest.startswith(_GZIP) else b""
                break
        else:
            return
