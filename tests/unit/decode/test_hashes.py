"""Hash and sketch find near-duplicates among real photographs, and nothing else."""

from collections.abc import Callable
from functools import cache
from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from kaption.workers.decode.comparison import Pixels, pixels_of, same
from kaption.workers.decode.decode import decode
from kaption.workers.decode.hashes import dhash
from kaption.workers.decode.likeness import FAR, PACKED_BYTES, distances, index_hash, packed
from kaption.workers.decode.sketch import CELLS, sketch
from kaption.workers.policy.ingest import DedupPolicy, ImagePolicy
from support.photographs import PHOTOGRAPHS, photograph, saved

pytestmark = pytest.mark.slow

POLICY = ImagePolicy()
TEXTURES = ("brick.png", "grass.png", "gravel.png")
NEAR = DedupPolicy().near_distance


def reencoded(image: Image.Image) -> Image.Image:
    return Image.open(BytesIO(saved(image, "JPEG", quality=40)))


def smaller(image: Image.Image) -> Image.Image:
    return image.resize((image.width * 3 // 5, image.height * 3 // 5))


def cropped(image: Image.Image) -> Image.Image:
    dx, dy = image.width // 100, image.height // 100
    return image.crop((dx, dy, image.width - dx, image.height - dy))


def brighter(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.15)


def watermarked(image: Image.Image) -> Image.Image:
    marked = image.copy()
    ImageDraw.Draw(marked).text((marked.width // 20, marked.height // 20), "example.org", "white")
    return marked


Look = tuple[int, bytes, Pixels]


def look_at(data: bytes) -> Look:
    made = decode(data, POLICY)
    shown = pixels_of(made.jpeg)
    assert made.sketch is not None
    assert shown is not None
    drawn = bytes.fromhex(made.sketch)
    return index_hash(drawn), packed(drawn), shown


def look(image: Image.Image) -> Look:
    return look_at(saved(image.convert("RGB"), "BMP"))


@cache
def original(name: str) -> Look:
    return look(photograph(name))


def alike(a: Look, b: Look) -> bool:
    """Whether ingest takes two images for one."""
    near = (a[0] ^ b[0]).bit_count() <= NEAR and distances(a[1], [b[1]])[0] < FAR
    return near and same(a[2], b[2])


@pytest.mark.parametrize("change", [reencoded, smaller, cropped, brighter, watermarked])
def test_altered_copies_are_alike(change: Callable[[Image.Image], Image.Image]) -> None:
    missed = [
        name
        for name in PHOTOGRAPHS
        # Each cell of a texture is average: a shifted one is another.
        if not (change is cropped and name in TEXTURES)
        and not alike(look(change(photograph(name))), original(name))
    ]

    assert not missed


def test_different_photographs_stay_apart() -> None:
    looks = {name: original(name) for name in PHOTOGRAPHS}

    assert not [(a, b) for a, b in combinations(looks, 2) if alike(looks[a], looks[b])]


def test_the_draft_decode_of_a_jpeg_looks_like_the_whole_image() -> None:
    image = photograph("coffee.png").resize((1200, 800))

    assert alike(look_at(saved(image, "JPEG", quality=95)), look(image))


def test_a_sketch_is_packed_into_its_documented_size() -> None:
    value = sketch(photograph("coffee.png"))
    assert value is not None
    assert len(value) == CELLS
    assert len(packed(value)) == PACKED_BYTES == 114


def test_the_judge_does_not_ask_for_an_order_of_its_images() -> None:
    looks = [original(name)[2] for name in PHOTOGRAPHS[:4]]

    assert all(same(one, one) for one in looks)
    assert not [1 for one, other in combinations(looks, 2) if same(one, other) or same(other, one)]


def test_bytes_that_are_not_an_image_have_no_pixels() -> None:
    whole = saved(photograph("coffee.png"), "JPEG")

    assert [pixels_of(data) for data in (b"", b"no image", whole[: len(whole) // 2])] == [None] * 3


def gradient(dx: float, dy: float, bend: float = 0.0) -> Image.Image:
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    levels = 128 + 100 * (dx * x + dy * y) + bend * (x**2 + y**2)
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "image",
    [
        Image.new("L", (256, 256), 70),
        gradient(1, 0),
        gradient(0, 1),
        gradient(-0.5, 0.5),
        gradient(0, 0, -60),
        Image.fromarray(np.random.default_rng(0).integers(120, 136, (256, 256), np.uint8)),
    ],
    ids=["flat", "horizontal", "vertical", "diagonal", "vignette", "faint noise"],
)
def test_images_with_little_structure_have_no_sketch(image: Image.Image) -> None:
    assert sketch(image.convert("RGB")) is None


def test_the_first_bit_compares_the_two_cells_at_the_top_left() -> None:
    # Given an image that is darker only in its first cell
    image = Image.new("L", (90, 80), 200)
    image.paste(10, (0, 0, 10, 10))

    assert dhash(image) == 1 << 63
