"""Decodes, scales and encodes arrays of pixels with SIMD: libjpeg-turbo and OpenCV.

Pillow does the same, and keeps all other formats and every doubtful file. Its resizing has no SIMD
and takes half as long as the decoding.
"""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
"""RGB of shape (height, width, 3)."""
Luma = NDArray[np.uint8]
"""Grey levels of shape (height, width)."""

_NEAR = 4 / 3
"""The factor up to which two neighbours are enough for a pixel. Against Lanczos on the whole image
they lose up to 3 dB at higher factors, and gain 0.9 dB on Pillow's Hamming window below it."""
_SKETCHED = 256
"""The shorter side from which a sketch is made from half the image: its cells are coarser still."""

cv2.setNumThreads(1)  # a process for each core decodes already
cv2.ipp.setUseIPP(False)  # its results differ between processors, and so would the images' ids


def decoded(jpeg: bytes, whole: tuple[int, int], size: tuple[int, int]) -> Rgb | None:
    """A sound colour JPEG of the size `whole`, at `size` or up to twice as large.

    None: the file is for Pillow to judge. libjpeg warns of missing rows and of damage. Pillow drops
    the warnings, and here they are errors. It is decoded at 1, 1/2, 1/4 or 1/8: the scales between
    them lose up to 7 dB.
    """
    part = min(8, whole[0] // size[0], whole[1] // size[1])
    scale = 1 << (part.bit_length() - 1)
    width, height = (-(-side // scale) for side in whole)
    try:
        return np.asarray(simplejpeg.decode_jpeg(jpeg, "RGB", min_width=width, min_height=height))
    except ValueError:
        return None


def scaled(image: Rgb, size: tuple[int, int]) -> Rgb:
    """The image scaled down to `size` (width and height)."""
    if image.shape[1::-1] == size:
        return image
    near = image.shape[1] <= _NEAR * size[0] and image.shape[0] <= _NEAR * size[1]
    window = cv2.INTER_LINEAR if near else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, size, interpolation=window), np.uint8)


def luma(image: Rgb) -> Luma:
    """BT.601, as in JPEG."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def halved(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The means of 2 x 2 pixels, if the image is large enough for a sketch of them."""
    height, width = image.shape[:2]
    if min(height, width) < _SKETCHED or height % 2 or width % 2:
        return image
    half = (width // 2, height // 2)
    return np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)


def encoded(image: Rgb, quality: int) -> bytes:
    """A JPEG with halved chroma, as Pillow writes it."""
    return bytes(simplejpeg.encode_jpeg(image, quality=quality, colorsubsampling="420"))
