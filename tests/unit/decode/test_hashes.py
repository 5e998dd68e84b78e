"""The hash finds near-duplicates among real photographs, and nothing else."""

from collections.abc import Callable
from functools import cache
from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from kaption.workers.decode.decode import decode
from kaption.workers.decode.hashes import dhash
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


def hash_of(image: Image.Image) -> int:
    value = decode(saved(image.convert("RGB"), "BMP"), POLICY).dhash
    assert value is not None
    return value


@cache
def original(name: str) -> int:
    return hash_of(photograph(name))


def distance(a: int, b: int) -> int:
    return (a ^ b).bit_count()


@pytest.mark.parametrize("change", [reencoded, smaller, cropped, brighter, watermarked])
def test_altered_copies_stay_near(change: Callable[[Image.Image], Image.Image]) -> None:
    distances = {}
    for name in PHOTOGRAPHS:
        if change is cropped and name in TEXTURES:
            continue  # each of its cells is average: a shifted one is another
        distances[name] = distance(original(name), hash_of(change(photograph(name))))

    assert max(distances.values()) <= NEAR, distances


def test_different_photographs_stay_apart() -> None:
    hashes = {name: original(name) for name in PHOTOGRAPHS}

    merged = [(a, b) for a, b in combinations(hashes, 2) if distance(hashes[a], hashes[b]) <= NEAR]

    assert not merged


def test_the_draft_decode_of_a_jpeg_hashes_like_the_whole_image() -> None:
    image = photograph("coffee.png").resize((1200, 800))

    drafted = decode(saved(image, "JPEG", quality=95), POLICY).dhash
    assert drafted is not None

    assert distance(drafted, hash_of(image)) <= 1


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
def test_images_with_little_structure_have_no_hash(image: Image.Image) -> None:
    assert dhash(image) is None


def test_the_first_bit_compares_the_two_cells_at_the_top_left() -> None:
    # Given an image that is darker only in its first cell
    image = Image.new("L", (90, 80), 200)
    image.paste(10, (0, 0, 10, 10))

    assert dhash(image) == 1 << 63
