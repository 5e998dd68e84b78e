"""The facts that a text states, and how many of them are true of a scene."""

import pytest

from kaption.workers.demo.scenes import Scene, SceneObject
from tools.evaluate.mentions import compare, read

RED_STAR = SceneObject("star", "red", "striped", "large", 0.3, 0.5, 0.2)
BLUE_RING = SceneObject("ring", "blue", "plain", "small", 0.7, 0.5, 0.1)
SCENE = Scene((RED_STAR, BLUE_RING), "on green grass")


def sums(text: str) -> tuple[int, int, int, int]:
    facts = compare(text, SCENE)
    sides = (facts.stated, facts.right, facts.shown, facts.found)
    stated, right, shown, found = (sum(side.values()) for side in sides)
    return stated, right, shown, found


def test_a_full_caption_states_every_fact_and_all_are_true() -> None:
    told = "a large striped red star and a small plain blue ring on green grass"
    # four facts of each object, the context and the count
    assert sums(told) == (10, 10, 10, 10)


def test_a_place_alone_states_one_fact() -> None:
    assert sums("on green grass") == (1, 1, 10, 1)


def test_a_colour_of_the_other_object_is_false() -> None:
    facts = compare("a blue star and a red ring", SCENE)
    assert (facts.stated["shape"], facts.right["shape"]) == (2, 2)
    assert (facts.stated["color"], facts.right["color"]) == (2, 0)


def test_an_object_that_is_not_there_makes_its_facts_and_the_count_false() -> None:
    facts = compare("a red star, a blue ring and a red star with a green heart", SCENE)
    assert facts.stated == {"shape": 3, "color": 3, "context": 0, "count": 1}
    assert facts.right == {"shape": 2, "color": 2, "context": 0, "count": 0}
    assert facts.found["count"] == 0


def test_fewer_objects_are_a_true_count_that_is_not_complete() -> None:
    facts = compare("a red star", SCENE)
    assert (facts.right["count"], facts.found["count"]) == (1, 0)


def test_a_wrong_place_is_false() -> None:
    facts = compare("a red star on a road", SCENE)
    assert (facts.stated["context"], facts.right["context"]) == (1, 0)


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("", []),
        ("IMG_0042.JPG", []),
        ("A RED Star!", [{"color": "red", "shape": "star"}]),
        ("red circles", [{"color": "red", "shape": "circle"}]),
        ("two crosses", [{"shape": "cross"}]),
        # the same object in other words, and then one that contradicts it
        (
            "a large star. a red star",
            [{"size": "large", "color": "red", "shape": "star"}],
        ),
        (
            "a red star and a blue star",
            [{"color": "red", "shape": "star"}, {"color": "blue", "shape": "star"}],
        ),
        ("a star in red", [{"shape": "star", "color": "red"}]),
        ("something striped", [{"texture": "striped"}]),
    ],
)
def test_things_of_a_text(text: str, things: list[dict[str, str]]) -> None:
    assert read(text)[1] == things


def test_the_words_of_a_place_are_no_object() -> None:
    assert read("on green grass") == (["on green grass"], [])


def test_a_loop_is_read_in_bounded_time() -> None:
    colours = ("red", "blue", "green", "pink", "brown", "black", "white", "orange")
    looping = " ".join(f"a {colour} star" for colour in colours * 50)
    assert compare(looping, SCENE).right["count"] == 0
