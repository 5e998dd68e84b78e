"""Alt texts with names, and what fused captions keep and repeat of them."""

import random

import pytest

pytest.importorskip("torch")

from kaption.schemas import Caption, CaptionKind
from kaption.workers.demo.scenes import Scene, SceneObject, describe, random_scene
from tools.evaluate.alt_texts import PEOPLE, PLACES, AltText, AltTextKind, alt_text, fused
from tools.evaluate.fusion import Fused, figures
from tools.evaluate.mentions import compare

SCENE = Scene((SceneObject("star", "red", "plain", "large", 0.5, 0.5, 0.2),), "on a road")
RIGHT = AltText(AltTextKind.RIGHT, "Rosa: a red star, Oslo, 1987", "Rosa", "Oslo", "1987")
DETAIL = AltText(AltTextKind.DETAIL, "a red star on a beach, no. 7", None, None, "no. 7")
OTHER = AltText(AltTextKind.OTHER, "a blue ring in a forest by Hugo in Riga", "Hugo", "Riga", None)
DENSE = "a large plain red star on a road"


def values(*texts: tuple[AltText, str]) -> dict[str, float]:
    found = [
        Fused(SCENE, alt, DENSE, text, (Caption(text=text, kind=CaptionKind.FUSED),))
        for alt, text in texts
    ]
    return {figure.name: figure.value for figure in figures(found)}


@pytest.mark.slow
def test_names_and_other_facts_of_a_true_alt_text_are_kept_or_lost() -> None:
    found = values(
        (RIGHT, "a red star on a road, by rosa, in oslo"),
        (DETAIL, "a star on a road, no. 7"),
        (OTHER, DENSE),
    )

    kept = {what: found[f"fused: {what} of the alt text kept"] for what in ("people", "numbers")}
    assert kept == {"people": 1.0, "numbers": 0.5}
    # Of the first alt text two names of three, shape, colour and count; of the second the number,
    # shape and count of four.
    assert found["fused: all true facts of the alt text kept"] == pytest.approx(8 / 10)


@pytest.mark.slow
def test_what_is_false_of_the_image_is_repeated_or_not() -> None:
    found = values(
        (RIGHT, DENSE),
        (DETAIL, "a red star on a beach"),
        (OTHER, "a blue star on a road, in riga"),
    )

    assert found["alt text one wrong detail: false details that fused captions repeat"] == 1.0
    # Of blue, ring and the forest
    assert found[
        "alt text of another image: false details that fused captions repeat"
    ] == pytest.approx(1 / 3)
    assert found["alt text of another image: names that fused captions repeat"] == 0.5
    assert found["without the alt text: without a false fact"] == 1.0
    assert found["fused: without a false fact"] == pytest.approx(1 / 3)


def test_each_kind_of_alt_text_is_as_true_as_it_says() -> None:
    rng = random.Random(1)
    for _ in range(200):
        scene = random_scene(rng)
        alt = alt_text(scene, rng, measured=True)
        facts = compare(alt.text, scene)
        false = sum(facts.stated.values()) - sum(facts.right.values())

        assert {AltTextKind.RIGHT: false == 0, AltTextKind.DETAIL: false > 0}.get(
            alt.kind, false > 1
        )
        assert alt.names
        assert all(name in alt.text for name in alt.names)
        assert fused(scene, alt).startswith(describe(scene))
        assert all(name in fused(scene, alt) for name in alt.names) is (
            alt.kind is not AltTextKind.OTHER
        )


def test_no_name_of_the_measured_ones_is_trained_with() -> None:
    rng = random.Random(2)
    scene = random_scene(rng)
    trained = {
        name
        for _ in range(3000)
        for alt in [alt_text(scene, rng, measured=False)]
        for name in (alt.person, alt.place)
    }

    assert len(trained) > 1000
    assert not trained & {*PEOPLE, *PLACES}
