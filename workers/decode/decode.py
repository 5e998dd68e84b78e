"""Turns untrusted bytes into the image to store. Runs in a decoding child process."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

from kaption.schemas import Reason
from kaption.workers.decode import pixels
from kaption.workers.decode.colour import before_scaling, to_rgb
from kaption.workers.decode.decoded import Decoded
from kaption.workers.decode.formats import sniff
from kaption.workers.decode.metadata.declared import declared
from kaption.workers.decode.reading import ImageReader
from kaption.workers.decode.rules import check_content, check_size
from kaption.workers.decode.sketch import sketch
from kaption.workers.policy.ingest import ImagePolicy
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
    said = declared(data, kind, reader.xmp)
    check_size(width, height, policy)
    transpose = reader.transpose()
    size = _fitted(width, height, policy.longest_side)
    small = _small(reader, size, transpose)
    luma = pixels.luma(small)
    check_content(luma)
    stored = pixels.encoded(small, policy.quality)
    turned = transpose in _TURNED
    drawn = sketch(Image.fromarray(pixels.halved(small)), Image.fromarray(pixels.halved(luma)))
    return Decoded(
        jpeg=stored,
        width=small.shape[1],
        height=small.shape[0],
        sha256=hashlib.sha256(stored).hexdigest(),
        original_width=height if turned else width,
        original_height=width if turned else height,
        original_bytes=len(data),
        original_format=kind,
        original_sha256=hashlib.sha256(data).hexdigest(),
        sketch=None if drawn is None else drawn.hex(),
        opt_out=said.signals,
        unreadable=said.unreadable,
    )


def _fitted(width: int, height: int, longest: int) -> tuple[int, int]:
    """The size scaled down to a longest side of at most `longest`, with the ratio kept."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _small(
    reader: ImageReader, size: tuple[int, int], transpose: Image.Transpose | None
) -> pixels.Rgb:
    """The upright sRGB image at `size` (before it is turned)."""
    image = reader.load(size)
    # Convert colours and transparency on the small image. Pillow weighs pixels by their alpha.
    if isinstance(image, Image.Image):
        image = before_scaling(image)
        if image.mode == "RGB":
            image = np.asarray(image)
        elif image.size != size:
            image = image.resize(size, Image.Resampling.HAMMING, reducing_gap=2.0)
    if not isinstance(image, Image.Image):
        image = pixels.scaled(image, size)
        if reader.profile is None and transpose is None:
            return image
        image = Image.fromarray(image)
    rgb = to_rgb(image, reader.profile, _BACKGROUND)
    return np.asarray(rgb if transpose is None else rgb.transpose(transpose))
