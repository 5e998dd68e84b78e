"""The result of decoding an acceptable image."""

from __future__ import annotations

from dataclasses import dataclass

from kaption.schemas import OptOutSignal
from kaption.schemas.evidence import Face


@dataclass(frozen=True, slots=True)
class Decoded:
    """The image to store, and a description of the original.

    Widths and heights are in pixels, after EXIF rotation.
    """

    jpeg: bytes
    """Upright sRGB without metadata, scaled down to the configured longest side."""
    width: int
    height: int
    sha256: str
    """The sha256 of `jpeg` in 64 hex digits: its content address."""
    original_width: int
    original_height: int
    original_bytes: int
    original_format: str
    """One of `ImagePolicy.formats`."""
    original_sha256: str
    sketch: str | None
    """Thumbnails to judge near-duplicates by (`sketch.sketch`), as hex digits, because the child
    process answers in JSON. None for an image with too little structure."""
    opt_out: tuple[OptOutSignal, ...] = ()
    """What the file's metadata says against its use."""
    unreadable: tuple[str, ...] = ()
    """`Declared.unreadable`."""
    faces: tuple[Face, ...] | None = None
    faces_blurred: bool = False
    nsfw: float | None = None
    document: float | None = None
    """As in `ImageRef`: what a check of images found and did after decoding."""
