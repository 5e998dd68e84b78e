"""Damaged files: an image survives damage beside it, and a truncated image is refused."""

import re
import struct
import zlib

import pytest
from PIL import Image

from kaption.schemas import Reason
from kaption.workers.decode.decode import decode
from kaption.workers.policy.ingest import ImagePolicy
from kaption.workers.runtime.stage import Reject
from support.photographs import (
    jpeg_with_height,
    photograph,
    png_chunk,
    png_insert,
    png_of_rows,
    quadrants,
    saved,
    shows_quadrants,
)

pytestmark = pytest.mark.slow

POLICY = ImagePolicy()
CUT = (Reason.TRUNCATED, Reason.DECODE_FAILED, Reason.NOT_AN_IMAGE)


def refusal(data: bytes, policy: ImagePolicy = POLICY) -> Reason:
    with pytest.raises(Reject) as refused:
        decode(data, policy)
    return refused.value.reason


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_a_file_cut_short_is_refused(kind: str, part: float) -> None:
    data = saved(photograph("chelsea.png"), kind)

    assert refusal(data[: int(len(data) * part)]) in CUT


@pytest.mark.parametrize(
    ("progressive", "ended"),
    # Not both: after its first scan such a file is a complete image, only coarser.
    [(False, False), (False, True), (True, False)],
)
@pytest.mark.parametrize("restart", [0, 4])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_with_half_its_coded_data_is_truncated(
    mode: str, restart: int, ended: bool, progressive: bool
) -> None:
    image = photograph("chelsea.png").convert(mode)
    data = saved(image, "JPEG", progressive=progressive, restart_marker_rows=restart)
    cut = data[: len(data) // 2]

    assert refusal(cut + (b"\xff\xd9" if ended else b"")) == Reason.TRUNCATED


@pytest.mark.parametrize("restart", [0, 1])
@pytest.mark.parametrize("size", [(300, 451), (1200, 900)])
def test_a_jpeg_that_claims_more_rows_than_it_has_is_truncated(
    size: tuple[int, int], restart: int
) -> None:
    image = photograph("chelsea.png").resize(size)
    data = saved(image, "JPEG", quality=90, restart_marker_rows=restart)

    assert refusal(jpeg_with_height(data, size[1] + 200)) == Reason.TRUNCATED


def test_a_jpeg_whose_last_corner_is_mid_grey_is_kept() -> None:
    for progressive in (False, True):
        data = saved(quadrants(last=(128, 128, 128)), "JPEG", progressive=progressive)
        assert shows_quadrants(decode(data, POLICY), last=(128, 128, 128))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("lost", [1, 2])
def test_a_jpeg_without_its_end_marker_is_kept(lost: int, progressive: bool) -> None:
    data = saved(quadrants(), "JPEG", progressive=progressive)

    assert shows_quadrants(decode(data[:-lost], POLICY))


@pytest.mark.parametrize("interlace", [0, 1])
def test_a_png_with_too_few_rows_is_truncated(interlace: int) -> None:
    assert refusal(png_of_rows(128, 128, 100, interlace)) == Reason.TRUNCATED


def test_a_png_that_ends_in_black_rows_is_kept() -> None:
    for mode in ("RGB", "L", "RGBA", "P"):
        image = quadrants(last=(0, 0, 0)).convert(mode)
        image.paste(0, (0, 120, 192, 128))
        assert decode(saved(image, "PNG"), POLICY).height == 128


def test_a_wrong_checksum_on_the_pixels_is_a_damaged_image() -> None:
    data = saved(quadrants(), "PNG")
    at = data.index(b"IDAT")
    length = struct.unpack(">I", data[at - 4 : at])[0]
    crc_at = at + 4 + length

    broken = data[:crc_at] + bytes(4) + data[crc_at + 4 :]

    assert refusal(broken) == Reason.DECODE_FAILED


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"tEXt", b"Comment\x00hello", crc=0),
        png_chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(200_000_000), 9)),
        png_chunk(b"iCCP", b"bomb\x00\x00" + zlib.compress(bytes(200_000_000), 9)),
        png_chunk(b"iCCP", b"junk\x00\x00junk"),
        png_chunk(b"eXIf", b"junk", crc=0),
        png_chunk(b"acTL", b"\x00"),
        png_chunk(b"gAMA", b""),
    ],
    ids=lambda chunk: chunk[4:8].decode(),
)
def test_a_damaged_chunk_beside_the_image_is_dropped(chunk: bytes) -> None:
    data = png_insert(saved(quadrants(), "PNG"), chunk)

    assert shows_quadrants(decode(data, POLICY))


def test_a_png_without_its_end_chunk_is_kept() -> None:
    data = saved(quadrants(), "PNG")

    assert shows_quadrants(decode(data[:-12], POLICY))
    assert shows_quadrants(decode(data[:-14], POLICY))  # and without the last checksum


def test_a_size_is_refused_before_the_image_is_decoded() -> None:
    png = png_of_rows(128, 128, 1)
    huge = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    gif = saved(quadrants().quantize(16), "GIF")
    descriptor = gif.index(b"\x2c\x00\x00\x00\x00")

    assert refusal(png[:8] + huge + png[33:]) == Reason.TOO_MANY_PIXELS
    assert refusal(jpeg_with_height(saved(quadrants(9000, 64), "JPEG"), 60_000)) in {
        Reason.TOO_MANY_PIXELS
    }
    # A frame that lies outside its canvas makes Pillow grow the canvas.
    grown = gif[: descriptor + 1] + b"\xff\xff\xff\xff" + gif[descriptor + 5 :]
    assert refusal(grown) == Reason.TOO_MANY_PIXELS
    webp = saved(quadrants().convert("RGBA"), "WEBP", icc_profile=b"x" * 128)
    assert webp[12:16] == b"VP8X"
    assert refusal(webp[:24] + b"\xff\xff\x00" * 2 + webp[30:]) in {
        Reason.TOO_MANY_PIXELS,
        Reason.DECODE_FAILED,
    }


def test_an_embedded_thumbnail_does_not_hide_a_truncation() -> None:
    # Given a truncated JPEG with a complete JPEG in its EXIF and another one after it
    exif = Image.Exif()
    exif[0x010E] = "x"
    data = saved(photograph("chelsea.png"), "JPEG", exif=exif)
    cut = data[: len(data) // 2] + b"\xff\xd9" + saved(quadrants(), "JPEG")

    assert refusal(cut) == Reason.TRUNCATED
    assert re.search(rb"\xff\xd9\xff\xd8", cut)
