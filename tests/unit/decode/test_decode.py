"""Every format and mode is decoded upright, in the right colours, on the background."""

from io import BytesIO

import pytest
from PIL import Image, ImageCms

from kaption.schemas import Reason
from kaption.workers.decode.decode import decode
from kaption.workers.policy.ingest import ImageFormat, ImagePolicy
from kaption.workers.runtime.stage import Reject
from support.photographs import (
    GREY,
    opened,
    png_chunk,
    png_insert,
    quadrants,
    saved,
    shows_quadrants,
    swapped_profile,
)

pytestmark = pytest.mark.slow

POLICY = ImagePolicy()
WHITE = (255, 255, 255)
FORMATS: tuple[ImageFormat, ...] = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_is_decoded(kind: str) -> None:
    data = saved(quadrants(), kind)

    decoded = decode(data, POLICY)

    assert shows_quadrants(decoded)
    assert (decoded.width, decoded.height, decoded.original_format) == (192, 128, kind)
    assert decoded.original_bytes == len(data)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_format_outside_the_list_is_refused_by_name(kind: str) -> None:
    policy = ImagePolicy(formats=tuple(name for name in FORMATS if name != kind))

    with pytest.raises(Reject) as refused:
        decode(saved(quadrants(), kind), policy)

    assert (refused.value.reason, refused.value.detail) == (Reason.FORMAT_REFUSED, kind)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("L", "JPEG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("I;16", "PNG"),
        ("I;16", "TIFF"),
        ("I", "TIFF"),
        ("F", "TIFF"),
    ],
)
def test_grey_images(mode: str, kind: str) -> None:
    grey = quadrants().convert("L")
    if mode in {"I;16", "I"}:
        grey = grey.convert("I").point(lambda value: value * 257)
    image = grey.convert(mode)

    assert shows_quadrants(decode(saved(image, kind), POLICY), grey=True)


def test_floating_point_images_between_0_and_1() -> None:
    image = quadrants().convert("L").convert("F").point(lambda value: value * (1 / 255) + 0)

    assert shows_quadrants(decode(saved(image, "TIFF"), POLICY), grey=True)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("P", "PNG"), ("P", "GIF"), ("P", "TIFF"), ("P", "BMP")],
)
def test_colour_images_of_other_modes(mode: str, kind: str) -> None:
    image = quadrants()
    image = image.quantize(16) if mode == "P" else image.convert(mode)

    assert shows_quadrants(decode(saved(image, kind), POLICY))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_bilevel_images(kind: str) -> None:
    image = quadrants(last=(0, 0, 0)).convert("1", dither=Image.Dither.NONE)

    black_white = opened(decode(saved(image, kind), POLICY))

    assert black_white.getpixel((150, 20)) == WHITE
    assert black_white.getpixel((150, 100)) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_alpha_shows_the_background_not_the_hidden_colour(kind: str) -> None:
    # Given a last quadrant that is black but fully transparent
    image = quadrants(last=(0, 0, 0)).convert("RGBA")
    image.paste((0, 0, 0, 0), (96, 64, 192, 128))

    decoded = decode(saved(image, kind), POLICY)

    assert shows_quadrants(decoded, last=WHITE)


def test_transparent_colours_of_palette_rgb_and_grey_images() -> None:
    image = quadrants(last=(1, 2, 3))
    palette = image.quantize(4)
    hidden = palette.getpixel((150, 100))

    for data in (
        saved(palette, "PNG", transparency=hidden),
        saved(palette, "GIF", transparency=hidden),
        saved(image, "PNG", transparency=(1, 2, 3)),
    ):
        assert shows_quadrants(decode(data, POLICY), last=WHITE, tolerance=24)


def test_transparent_grey_of_16_bits() -> None:
    image = quadrants(last=(0, 0, 0)).convert("L").convert("I").point(lambda value: value * 257)
    data = saved(image.convert("I;16"), "PNG")

    decoded = decode(png_insert(data, png_chunk(b"tRNS", b"\x00\x00")), POLICY)

    assert opened(decoded).getpixel((150, 100)) == WHITE


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    # Given pixels turned so that the tag makes them upright
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = quadrants()
    if orientation in turns:
        image = image.transpose(turns[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation

    # When it is decoded
    decoded = decode(saved(image, kind, exif=exif), POLICY)

    # Then it is upright, and its original size is the upright one
    assert shows_quadrants(decoded)
    assert (decoded.original_width, decoded.original_height) == (192, 128)


def test_an_image_with_broken_exif_is_kept() -> None:
    assert shows_quadrants(decode(saved(quadrants(), "JPEG", exif=b"Exif\0\0MMjunk"), POLICY))


def test_the_first_image_of_a_camera_file_with_two_is_decoded() -> None:
    second = Image.new("RGB", (192, 128), "white")
    data = saved(quadrants(), "MPO", save_all=True, append_images=[second])

    decoded = decode(data, POLICY)

    assert shows_quadrants(decoded)
    assert decoded.original_format == "JPEG"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_frame_of_an_animation_is_decoded(kind: str) -> None:
    second = Image.new("RGB", (192, 128), "white")
    data = saved(quadrants(), kind, save_all=True, append_images=[second])

    assert shows_quadrants(decode(data, POLICY))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_embedded_profile_is_applied(kind: str) -> None:
    # Given an image in whose profile red means blue
    red, green, blue = quadrants().split()
    image = Image.merge("RGB", (blue, green, red))

    assert shows_quadrants(decode(saved(image, kind, icc_profile=swapped_profile()), POLICY))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_an_image_with_a_broken_or_unfitting_profile_is_kept(mode: str) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = quadrants().convert(mode)

    for profile in (b"junk", srgb[:200], srgb, swapped_profile()[:-500]):
        decoded = decode(saved(image, "JPEG", icc_profile=profile), POLICY)
        assert shows_quadrants(decoded, grey=mode == "L")


def test_metadata_is_not_stored() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    data = saved(
        quadrants(), "JPEG", exif=exif, comment=b"a comment", icc_profile=swapped_profile()
    )

    stored = Image.open(BytesIO(decode(data, POLICY).jpeg))

    assert not stored.info.keys() & {"exif", "comment", "icc_profile", "photoshop"}


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("size", "stored"), [((1024, 768), (512, 384)), ((1000, 1500), (341, 512)), ((100, 80),) * 2]
)
def test_scaled_down_to_the_longest_side_and_never_up(
    kind: str, size: tuple[int, int], stored: tuple[int, int]
) -> None:
    decoded = decode(saved(quadrants(*size), kind), POLICY)

    assert (decoded.width, decoded.height) == stored == opened(decoded).size
    assert (decoded.original_width, decoded.original_height) == size
    assert shows_quadrants(decoded)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (quadrants(63, 128), Reason.TOO_SMALL),
        (quadrants(400, 100), Reason.EXTREME_RATIO),
        (quadrants(100, 301), Reason.EXTREME_RATIO),
        (quadrants(3000, 2000), Reason.TOO_MANY_PIXELS),
        (Image.new("RGB", (128, 128), GREY), Reason.SINGLE_COLOUR),
    ],
)
@pytest.mark.parametrize("kind", FORMATS)
def test_each_rule_refuses_with_its_reason(kind: str, image: Image.Image, reason: Reason) -> None:
    with pytest.raises(Reject) as refused:
        decode(saved(image, kind), ImagePolicy(max_pixels=5_000_000))

    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.NOT_AN_IMAGE),
        (b"<!doctype html><html><svg></svg></html>", Reason.NOT_AN_IMAGE),
        (b"RIFF....WAVEfmt ", Reason.NOT_AN_IMAGE),
        (b"<?xml version='1.0'?>\n<svg xmlns='x'/>", Reason.FORMAT_REFUSED),
        (b"<svg/>", Reason.FORMAT_REFUSED),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", Reason.FORMAT_REFUSED),
        (b"%PDF-1.7", Reason.FORMAT_REFUSED),
    ],
)
def test_other_bytes_are_refused_with_their_reason(data: bytes, reason: Reason) -> None:
    with pytest.raises(Reject) as refused:
        decode(data, POLICY)

    assert refused.value.reason == reason
