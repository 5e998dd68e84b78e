"""Turns untrusted bytes into the image to store. Runs in a decoding child process."""

from __future__ import annotations

import hashlib
from io import BytesIO

from PIL import Image

from kaption.schemas import Reason
from kaption.workers.decode.colour import before_scaling, to_rgb
from kaption.workers.decode.decoded import Decoded
from kaption.workers.decode.formats import sniff
from kaption.workers.decode.reading import ImageReader
from kaption.workers.decode.rules import check_content, check_size
from kaption.workers.decode.sketch import sketch
from kaption.workers.policy import ImagePolicy
from kaption.workers.runtime.stage import Reject

_CUT_SHORT = ("truncated", "incomplete", "unexpected end", "not enough", "buffer is not large")
"""Words in Pillow's error messages for a file that ends too early."""
_BACKGROUND = (255, 255, 255)
"""Shown under transparency: web pages are white."""
_TURNED = {
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
}


def decode(data: bytes, policy: ImagePolicy) -> Decoded:
    """Decode, check, scale, hash and encode one image. There is no time limit.

    Raises only MemoryError and Reject: not_an_image, format_refused, truncated, too_many_pixels,
    decode_failed, too_small, extreme_ratio, single_colour.
    """
    kind = sniff(data)
    if kind is None:
        raise Reject(Reason.NOT_AN_IMAGE, f"starts with {data[:12]!r}")
    if kind not in policy.formats:
        raise Reject(Reason.FORMAT_REFUSED, kind)
    try:
        return _decode(data, kind, policy)
    except (Reject, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise Reject(Reason.TOO_MANY_PIXELS, f"{kind}: {error}"[:500]) from error
    except Exception as error:  # Pillow raises nearly every type of error for a bad file
        cut = isinstance(error, EOFError) or any(sign in str(error).lower() for sign in _CUT_SHORT)
        raise Reject(
            Reason.TRUNCATED if cut else Reason.DECODE_FAILED,
            f"{kind}: {type(error).__name__}: {error}"[:500],
        ) from error


def _decode(data: bytes, kind: str, policy: ImagePolicy) -> Decoded:
    reader = ImageReader(data, kind)
    width, height = reader.width, reader.height
    check_size(width, height, policy)
    transpose = reader.transpose()
    size = _fitted(width, height, policy.longest_side)
    image = reader.load(size)
    # Convert colours and transparency on the small image. Resizing weighs pixels by their alpha.
    profile = image.info.get("icc_profile")
    small = to_rgb(_scaled(before_scaling(image), size), profile, _BACKGROUND)
    if transpose is not None:
        small = small.transpose(transpose)
    luma = small.convert("L")
    check_content(luma)
    stored = _encoded(small, policy.quality)
    turned = transpose in _TURNED
    drawn = sketch(small)
    return Decoded(
        jpeg=stored,
        width=small.width,
        height=small.height,
        sha256=hashlib.sha256(stored).hexdigest(),
        original_width=height if turned else width,
        original_height=width if turned else height,
        original_bytes=len(data),
        original_format=kind,
        original_sha256=hashlib.sha256(data).hexdigest(),
        sketch=None if drawn is None else drawn.hex(),
    )


def _fitted(width: int, height: int, longest: int) -> tuple[int, int]:
    """The size scaled down to a longest side of at most `longest`, with the ratio kept."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    # Hamming takes half the time of bicubic and is as sharp at the factors here. The decoder leaves
    # a JPEG at 1 to 2 times the size, and reducing_gap reduces other formats to 2 to 4 times it.
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.HAMMING, reducing_gap=2.0)


def _encoded(image: Image.Image, quality: int) -> bytes:
    image.info.clear()  # Pillow would write the profile and the comments into the file
    out = BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()
