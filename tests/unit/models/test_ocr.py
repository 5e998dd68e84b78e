"""OCR of cards that Pillow draws, by the engine and models that ship with rapidocr."""

import random

import pytest
from PIL import Image

from bench.ocr import card, read_share
from kaption.workers.models.ocr import RapidOcr
from kaption.workers.text.lines import in_reading_order

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reader() -> RapidOcr:
    return RapidOcr()


@pytest.mark.parametrize("script", ["Latin", "digits", "Chinese"])
def test_nearly_all_characters_of_cards_are_read(reader: RapidOcr, script: str) -> None:
    share, _ = read_share(reader, script, cards=3, seed=7)

    assert share >= 0.97


def test_each_line_has_its_place_its_confidence_and_its_source(reader: RapidOcr) -> None:
    image, lines = card(random.Random(3), "Latin")

    found = in_reading_order(reader.read(image))

    assert ["".join(line.text.split()) for line in found] == ["".join(t.split()) for t in lines]
    tops = [line.box.top for line in found if line.box]
    assert tops == sorted(tops)
    assert len(tops) == len(lines)
    assert all(line.confidence and line.confidence > 0.5 for line in found)
    assert {line.source for line in found} == {reader.model}


@pytest.mark.parametrize("size", [(512, 384), (64, 64), (64, 512), (512, 171)])
def test_an_image_without_text_has_no_lines(reader: RapidOcr, size: tuple[int, int]) -> None:
    assert reader.read(Image.new("RGB", size, (120, 140, 160))) == ()
