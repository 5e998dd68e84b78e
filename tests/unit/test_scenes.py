"""Rendered scenes: captions are true, and an altered scene differs in one attribute."""

import random
from itertools import combinations

import numpy as np
import pytest

from kaption.workers.demo.painting import render
from kaption.workers.demo.scenes import (
    COLORS,
    CONTEXTS,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    SceneObject,
    describe,
    random_scene,
    wrong,
)
from tools.demo_models.alter import ATTRIBUTES, Attribute, alter


def scenes(count: int, ratio: float = 1.0) -> list[Scene]:
    rng = random.Random(3)
    return [random_scene(rng, ratio) for _ in range(count)]


def test_random_scenes_use_the_whole_vocabulary() -> None:
    objects = [obj for scene in scenes(600) for obj in scene.objects]
    assert (len(SHAPES), len(COLORS), len(TEXTURES), len(SIZES), len(CONTEXTS)) == (8, 10, 6, 2, 12)
    assert {(o.shape, o.color) for o in objects} == {(s, c) for s in SHAPES for c in COLORS}
    assert {o.texture for o in objects} == set(TEXTURES)
    assert {s.context for s in scenes(600)} == set(CONTEXTS)
    assert {len(s.objects) for s in scenes(600)} == {1, 2, 3}


def test_a_caption_names_every_object_from_left_to_right() -> None:
    heart = SceneObject("heart", "red", "striped", "large", x=0.2, y=0.5, radius=0.15)
    ring = SceneObject("ring", "blue", "plain", "small", x=0.7, y=0.5, radius=0.1)
    scene = Scene((heart, ring), "on a road")
    assert describe(scene) == "a large striped red heart and a small plain blue ring on a road"
    assert describe(scene, "appearance") == "a large red heart and a small blue ring"
    assert describe(scene, "texture") == "a striped heart and a plain ring"
    assert describe(scene, "context") == "on a road"


@pytest.mark.parametrize("ratio", [0.5, 0.7, 1.0, 1.6, 2.0])
def test_objects_lie_inside_the_frame_apart_and_in_order(ratio: float) -> None:
    width, height = min(1.0, ratio), min(1.0, 1 / ratio)
    for scene in scenes(100, ratio):
        for obj in scene.objects:
            assert obj.radius <= obj.x <= width - obj.radius
            assert obj.radius <= obj.y <= height - obj.radius
        for a, b in combinations(scene.objects, 2):
            assert a.x < b.x
            assert (a.x - b.x) ** 2 + (a.y - b.y) ** 2 > (a.radius + b.radius) ** 2
            assert (a.shape, a.color) != (b.shape, b.color)


def test_a_ratio_beyond_two_to_one_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"outside 0\.5\.\.2\.0"):
        random_scene(random.Random(0), 2.5)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_an_altered_scene_differs_in_one_attribute_only(attribute: Attribute) -> None:
    rng = random.Random(5)
    for scene in scenes(100):
        other = alter(scene, rng, attribute)
        changed = [
            name
            for a, b in zip(scene.objects, other.objects, strict=True)
            for name in ("shape", "color", "texture", "size", "x", "y", "radius")
            if getattr(a, name) != getattr(b, name)
        ]
        changed += ["context"] * (scene.context != other.context)
        assert changed == [attribute]
        assert describe(scene) != describe(other)


def test_a_wrong_scene_shares_no_shape_no_colour_and_no_context() -> None:
    rng = random.Random(6)
    for scene in scenes(100):
        other = wrong(scene, rng)
        assert other.context != scene.context
        assert not {o.shape for o in scene.objects} & {o.shape for o in other.objects}
        assert not {o.color for o in scene.objects} & {o.color for o in other.objects}


@pytest.mark.parametrize(
    ("ratio", "size"), [(1.0, (200, 200)), (2.0, (200, 100)), (0.5, (100, 200))]
)
def test_an_image_has_the_asked_longest_side_and_the_scenes_ratio(
    ratio: float, size: tuple[int, int]
) -> None:
    image = render(scenes(1, ratio)[0], 200, random.Random(0))
    assert (image.mode, image.size) == ("RGB", size)


def test_the_same_seed_paints_the_same_image_and_another_seed_another() -> None:
    scene = scenes(1)[0]
    one, again, other = (render(scene, 96, random.Random(seed)) for seed in (1, 1, 2))
    assert one.tobytes() == again.tobytes()
    assert one.tobytes() != other.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("attribute", ["shape", "color", "texture", "context"])
def test_every_altered_attribute_can_be_seen_at_the_models_size(attribute: Attribute) -> None:
    rng = random.Random(8)
    for scene in scenes(40):
        images = [render(s, 64, random.Random(1)) for s in (scene, alter(scene, rng, attribute))]
        before, after = (np.asarray(p, np.int16) for p in images)
        # At least 12 of 4,096 pixels change by more than a compression artefact.
        assert (np.abs(before - after).max(axis=2) > 30).sum() >= 12


def test_a_large_image_is_painted_and_not_enlarged() -> None:
    scene = scenes(1)[0]
    large = render(scene, 512, random.Random(1))
    small = render(scene, 64, random.Random(1)).resize((512, 512))
    edges = [np.abs(np.diff(np.asarray(p.convert("L"), np.int16))).max() for p in (large, small)]
    assert edges[0] > 1.5 * edges[1]
