"""Converts every mode that Pillow decodes to sRGB on an opaque background.

`before_scaling` makes an image that can be resized: without a palette, and with 8 bits a channel.
`to_rgb` does the expensive conversion, on the image that is already small.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4 * 1024 * 1024
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""The Pillow mode of each ICC colour space."""


def before_scaling(image: Image.Image) -> Image.Image:
    """Convert any mode to L, LA, RGB, RGBA or CMYK. Colours stay in the image's own profile."""
    mode = image.mode
    if mode in {"I", "F"} or mode.startswith("I;16"):
        return _eight_bit(image)
    if image.has_transparency_data:
        return image.convert("LA" if mode in {"1", "L", "LA", "La"} else "RGBA")
    if mode in {"L", "RGB", "CMYK"}:
        return image
    return image.convert("L" if mode == "1" else "RGB")


def to_rgb(
    image: Image.Image, profile: bytes | None, background: tuple[int, int, int]
) -> Image.Image:
    """Convert to mode RGB: colours to sRGB, then transparent pixels onto the sRGB background."""
    alpha = image.getchannel("A") if image.mode in {"LA", "RGBA"} else None
    if alpha is not None:
        image = image.convert(image.mode[:-1])
    rgb = _to_srgb(image, profile)
    if alpha is None:
        return rgb
    below = Image.new("RGB", rgb.size, background)
    below.paste(rgb, mask=alpha)
    return below


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale a grey image of more than 8 bits to L. `convert("L")` would clip at 255, to white."""
    transparent = image.info.get("transparency")
    if image.mode == "F":
        low, high = _extrema(image)
        factor = 255.0 if low >= 0 and high <= 1 else 1.0
        return image.point(lambda value: value * factor).convert("L")
    deep = image.convert("I")
    _, high = _extrema(deep)
    factor = (
        1 / 256 if image.mode.startswith("I;16") or 255 < high < 65536 else 255 / max(high, 255)
    )
    grey = deep.point(lambda value: value * factor).convert("L")
    if not isinstance(transparent, int):
        return grey
    opaque = [0 if value == transparent else 255 for value in range(65536)]
    grey.putalpha(deep.point(opaque, "L"))
    return grey


def _extrema(image: Image.Image) -> tuple[float, float]:
    low, high = image.getextrema()
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    return low, high


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Apply the embedded profile, unless it is broken or of another colour space."""
    if profile and len(profile) <= MAX_PROFILE_BYTES:
        mode = _profile_mode(profile)
        if mode == "RGB" and image.mode != "CMYK":
            image = image.convert("RGB")  # RGB profiles occur on grey and palette data
        if mode == image.mode:
            transform = _transform(profile, mode)
            if transform is not None:
                return transform.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=16)
def _profile_mode(profile: bytes) -> str | None:
    try:
        space = ImageCms.ImageCmsProfile(BytesIO(profile)).profile.xcolor_space
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None
    return _SPACES.get(space.strip())


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform to sRGB, or None if the profile is sRGB already or broken."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "sRGB" in (source.profile.profile_description or ""):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None
