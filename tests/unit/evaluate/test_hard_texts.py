"""Nearly true texts: each differs from the scene in what its line says, and the figures follow."""

import random
from dataclasses import replace

import pytest

pytest.importorskip("torch")

from kaption.workers.demo.scenes import Scene, describe, random_scene
from tools.demo_models.measure import specimens
from tools.evaluate.hard_texts import CHANGES, measure
from tools.evaluate.mentions import compare


def scenes() -> list[Scene]:
    rng = random.Random(7)
    return [random_scene(rng) for _ in range(40)]


def false_facts(scene: Scene, other: Scene) -> int:
    facts = compare(describe(other), scene)
    return sum(facts.stated.values()) - sum(facts.right.values())


@pytest.mark.parametrize("name", [name for name in CHANGES if name.startswith("another ")])
def test_one_attribute_changed_is_one_false_fact(name: str) -> None:
    rng = random.Random(1)
    assert {false_facts(scene, CHANGES[name](scene, rng)) for scene in scenes()} == {1}


def test_two_attributes_changed_are_two_false_facts() -> None:
    # Given scenes of one object: in larger ones the words of two objects may change places
    rng = random.Random(1)
    alone = [replace(scene, objects=scene.objects[:1]) for scene in scenes()]
    assert {
        false_facts(scene, CHANGES["two attributes changed"](scene, rng)) for scene in alone
    } == {2}


def test_an_object_too_many_leaves_the_others() -> None:
    rng = random.Random(1)
    for scene in scenes():
        other = CHANGES["an object too many"](scene, rng)
        assert other.objects[:-1] == scene.objects
        assert other.context == scene.context


def test_other_objects_at_the_same_place_share_the_place_alone() -> None:
    rng = random.Random(1)
    for scene in scenes():
        other = CHANGES["other objects at the same place"](scene, rng)
        assert other.context == scene.context
        assert not {(o.shape, o.color) for o in scene.objects} & {
            (o.shape, o.color) for o in other.objects
        }


@pytest.mark.slow
def test_the_more_is_wrong_the_more_is_caught() -> None:
    # Given images whose scenes are known
    shown = [(one.image, one.scene) for one in specimens(24, worn=False, seed=60_011)]
    # When the nearly true texts are scored
    found = {figure.name: figure for figure in measure(shown)}
    # Then each kind has its lines, and another scene is easier to tell than another size
    assert len(found) == 3 * len(CHANGES)
    assert all(figure.sample == 24 for figure in found.values())
    easy, hard = "other objects at the same place", "another size"
    assert found[f"{easy}: AUC"].value > found[f"{hard}: AUC"].value
    assert found[f"{easy}: AUC"].value > 0.95
