"""Precision, recall and hallucination of captions made by hand."""

import pytest
from PIL import Image

from kaption.schemas import CaptionKind
from kaption.testing.records import caption, clean_pair
from kaption.workers.demo.scenes import Scene, SceneObject
from kaption.workers.demo.truth import Noise, Truth
from tools.evaluate.facts import measure
from tools.evaluate.held_out import Kept

SCENE = Scene((SceneObject("star", "red", "plain", "large", 0.5, 0.5, 0.2),), "on a road")
IMAGE = Image.new("RGB", (8, 8))


def one(alt_text: str, best: str, kind: CaptionKind) -> Kept:
    pair = clean_pair(0, caption(best, kind), text=alt_text, clean_text=alt_text)
    truth = Truth("pair-0", Noise.RIGHT, SCENE, alt_text, alt_text)
    return Kept(truth, pair, IMAGE, recaptioned=kind is not CaptionKind.ORIGINAL)


def values(*kept: Kept) -> dict[str, float]:
    return {figure.name: figure.value for figure in measure(kept)}


@pytest.mark.slow
def test_each_side_has_its_words_and_facts() -> None:
    found = values(
        one("a large red star", "a plain red star on a road", CaptionKind.VLM),
        one("a blue star", "a blue star", CaptionKind.ORIGINAL),
    )
    assert found["raw alt text: words"] == 3.5
    # size, colour, shape, count; colour, shape, count, of which the colour is false
    assert found["raw alt text: facts stated per caption"] == 3.5
    assert found["raw alt text: false (hallucinated) facts per caption"] == 0.5
    assert found["raw alt text: captions without a false fact"] == 0.5
    assert found["output: precision, color"] == 0.5
    assert found["output: recall, texture"] == 0.5
    # the one recaptioned pair tells 5 of 6 facts: all but the size
    assert found["recaptioned: precision, all kinds"] == 1.0
    assert found["recaptioned: recall, all kinds"] == pytest.approx(5 / 6)


@pytest.mark.slow
def test_true_facts_of_the_alt_text_are_kept_or_lost() -> None:
    # The alt text is true in size, colour, shape and count, and false in its place.
    alt = "a large red star on a beach"
    fused = one(alt, "a red star on a road", CaptionKind.FUSED)
    found = values(fused, one(alt, alt, CaptionKind.ORIGINAL))
    assert found["fusion: true facts of the alt text kept"] == 0.75
    assert found["output: true facts of the alt text kept"] == 7 / 8


def test_without_fusion_there_is_no_line_for_it() -> None:
    found = values(one("a red star", "a red star", CaptionKind.ORIGINAL))
    assert not any(name.startswith(("fusion", "recaptioned")) for name in found)
