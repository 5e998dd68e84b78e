"""Hash and sketch find near-duplicates among real photographs, and nothing else."""

from collections.abc import Callable
from functools import cache
from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from kaption.workers.decode.decode import decode
from kaption.workers.decode.hashes import dhash
from kaption.workers.decode.likeness import PACKED_BYTES, alike, index_hash, packed
from kaption.workers.decode.sketch import CELLS, sketch
from kaption.workers.policy import DedupPolicy, ImagePolicy
from support.photographs import PHOTOGRAPHS, photograph, saved

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


def look(image: Image.Image) -> tuple[int, bytes]:
    value = decode(saved(image.convert("RGB"), "BMP"), POLICY).sketch
    assert value is not None
    small = packed(bytes.fromhex(value))
    return index_hash(small), small


@cache
def original(name: str) -> tuple[int, bytes]:
    return look(photograph(name))


def same(a: tuple[int, bytes], b: tuple[int, bytes]) -> bool:
    """Whether ingest takes two images for one."""
    return (a[0] ^ b[0]).bit_count() <= NEAR and alike(a[1], [b[1]]) == [True]


@pytest.mark.parametrize("change", [reencoded, smaller, cropped, brighter, watermarked])
def test_altered_copies_are_alike(change: Callable[[Image.Image], Image.Image]) -> None:
    missed = [
        name
        for name in PHOTOGRAPHS
        # Each cell of a texture is average: a shifted one is another.
        if not (change is cropped and name in TEXTURES)
        and not same(look(change(photograph(name))), original(name))
    ]

    assert not missed


def test_different_photographs_stay_apart() -> None:
    looks = {name: original(name) for name in PHOTOGRAPHS}

    assert not [(a, b) for a, b in combinations(looks, 2) if same(looks[a], looks[b])]


def test_the_draft_decode_of_a_jpeg_looks_like_the_whole_image() -> None:
    image = photograph("coffee.png").resize((1200, 800))

    drafted = decode(saved(image, "JPEG", quality=95), POLICY).sketch
    assert drafted is not None

    small = packed(bytes.fromhex(drafted))
    assert same((index_hash(small), small), look(image))


def test_a_sketch_is_packed_into_its_documented_size() -> None:
    value = sketch(photograph("coffee.png"))
    assert value is not None
    assert len(value) == CELLS
    assert len(packed(value)) == PACKED_BYTES == 726


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
