"""Recognises an image format by the file's first bytes. Names and media types are not trusted."""

from __future__ import annotations

import re

_SIGNATURES = (
    ("JPEG", b"\xff\xd8\xff"),
    ("PNG", b"\x89PNG\r\n\x1a\n"),
    ("GIF", b"GIF87a"),
    ("GIF", b"GIF89a"),
    ("BMP", b"BM"),
    ("TIFF", b"II\x2a\x00"),
    ("TIFF", b"MM\x00\x2a"),
    ("TIFF", b"II\x2b\x00"),
    ("TIFF", b"MM\x00\x2b"),
    ("ICO", b"\x00\x00\x01\x00"),
    ("PSD", b"8BPS"),
    ("PDF", b"%PDF"),
    ("EPS", b"%!PS"),
    ("JPEG2000", b"\x00\x00\x00\x0cjP  "),
    ("JPEG2000", b"\xff\x4f\xff\x51"),
    ("JPEGXL", b"\xff\x0a"),
    ("JPEGXL", b"\x00\x00\x00\x0cJXL "),
)
_SVG = re.compile(rb"\s*(<\?xml|<!--|<!DOCTYPE svg|<svg)[^\x00]*?<svg|\s*<svg", re.IGNORECASE)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


def sniff(data: bytes) -> str | None:
    """The format's name, also of formats that are never decoded, or None if it is unknown."""
    for name, signature in _SIGNATURES:
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _brand(data)
    return "SVG" if _SVG.match(data[:1024]) else None


def _brand(data: bytes) -> str | None:
    """The format of an ISO base media file, by its major and compatible brands of four bytes."""
    box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    brands = {box[at : at + 4] for at in range(0, len(box), 4)}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None
