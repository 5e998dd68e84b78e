"""How well near-duplicates are judged, on a fixed sample of each family of images."""

import random
from io import BytesIO

import pytest
from PIL import Image

from bench.near_duplicates import EVERY, Looks, found, looks, measure
from bench.near_images import copies, memes

pytestmark = pytest.mark.slow

IMAGES = {"skies": 200}
"""So many of five skies that some things overlap; of other families 100."""
RECALL = {"sudokus": 0.9, "starry skies": 0.9, "scatter plots": 0.95}
"""Thin lines and dots fall between other cells in a copy, so that the index passes over it."""
FALSE_REFUSALS = {"calendars": 0.05, "price tags": 0.05}
"""The year of a month and two figures of a price are small print."""


@pytest.mark.parametrize("family", EVERY)
def test_copies_are_found_and_different_images_are_kept(family: str) -> None:
    figures = measure(EVERY[family](IMAGES.get(family, 100), 11), copied=8, seed=11)

    assert figures.images > 30
    assert figures.copies > 100, "one miss must not decide"
    assert figures.recall >= RECALL.get(family, 0.98), figures
    assert figures.false_refusals <= FALSE_REFUSALS.get(family, 0.005), figures


def flat(colour: str, *, disc: bool) -> Looks:
    image = Image.new("RGB", (300, 300), "white")
    mask = Image.new("L", image.size)
    if disc:
        mask = Image.radial_gradient("L").resize((300, 300)).point(lambda far: 255 * (far < 120))
    else:
        mask.paste(255, (75, 75, 225, 225))
    image.paste(colour, (0, 0, 300, 300), mask)
    look = looks(image)
    assert look is not None
    return look


def test_a_red_disc_and_a_blue_square_are_two_images() -> None:
    every = [flat(c, disc=d) for c in ("#d02020", "#2040d0", "#20a040") for d in (True, False)]

    for at, look in enumerate(every):
        assert found(look, every[at:])[0] is look
        assert found(look, every[:at] + every[at + 1 :])[0] is None


def test_a_copy_in_other_formats_is_found() -> None:
    (image,) = memes(1, 3)
    look = looks(image)
    assert look is not None

    found_in = {
        change: found(copy, [look])[0] is look
        for change, data in copies(image, random.Random(1))
        if (copy := looks(Image.open(BytesIO(data)))) is not None
    }

    assert {change for change, yes in found_in.items() if yes} > {"JPEG 30", "WebP 70"}
