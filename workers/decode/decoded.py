"""What decoding makes of an acceptable image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image as it is stored, and what it was made from.

    Widths and heights are in pixels, after EXIF rotation.
    """

    jpeg: bytes
    """Upright sRGB, no metadata, at most the configured longest side."""
    width: int
    height: int
    sha256: str
    """Of `jpeg`: its content address, 64 hex digits."""
    original_width: int
    original_height: int
    original_bytes: int
    original_format: str
    """Pillow's name, of `ImagePolicy.formats`."""
    original_sha256: str
    dhash: int | None
    """64-bit difference hash (see `hashes.dhash`); none for low-information images."""

    @property
    def perceptual_hash(self) -> str | None:
        """`dhash` as the contract writes it: ``dhash:`` and 16 hex digits."""
        return None if self.dhash is None else f"dhash:{self.dhash:016x}"
