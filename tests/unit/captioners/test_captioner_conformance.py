"""What every captioner keeps to, whichever module it is in."""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules

import pytest
from PIL import Image

import kaption.workers.captioners
from kaption.schemas import CaptionKind, DetectedObject, OcrText
from kaption.workers.captioners.captioner import CaptionContext, Captioner
from kaption.workers.captioners.registry import load_captioners
from kaption.workers.policy import RecaptionPolicy, SamplingPolicy, TransformersPolicy
from support.tiny_models import tiny_blip2

pytestmark = pytest.mark.slow

NAMES = [
    module.name
    for module in iter_modules(kaption.workers.captioners.__path__)
    if not module.name.startswith("_")
    and hasattr(import_module(f"kaption.workers.captioners.{module.name}"), "build")
]
CONTEXTS = [
    CaptionContext("a red star", "en", objects=(DetectedObject(label="star"),)),
    CaptionContext(""),
    CaptionContext('ein "Kreis"', "de", ocr=(OcrText(text="HALT {alt_text}"),)),
]

Make = Callable[[], Captioner]


@pytest.fixture(scope="module", params=NAMES)
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Make:
    folder = tiny_blip2(tmp_path_factory.mktemp("model"))
    policy = RecaptionPolicy(
        captioners=(request.param,),
        transformers=TransformersPolicy(
            model=str(folder), device="cpu", sampling=SamplingPolicy(max_new_tokens=5)
        ),
    )
    return lambda: load_captioners(policy)[0]


def images(captioner: Captioner) -> list[Image.Image]:
    sizes = [(40, 30), (64, 64), (20, 90)] if captioner.uses_images else []
    return [Image.new("RGB", size, (50 * at, 90, 10)) for at, size in enumerate(sizes)]


def test_there_are_captioners() -> None:
    assert {"rules", "transformers"} <= set(NAMES)


def test_it_says_who_it_is(make: Make, request: pytest.FixtureRequest) -> None:
    captioner = make()

    assert captioner.name == request.node.callspec.params["make"]
    assert captioner.model
    assert captioner.revision


def test_every_image_has_its_answer_and_none_is_scored(make: Make) -> None:
    captioner = make()

    found = captioner.caption(images(captioner), CONTEXTS)

    assert len(found) == len(CONTEXTS)
    for caption in (caption for captions in found for caption in captions):
        assert caption.kind not in {CaptionKind.ORIGINAL, CaptionKind.HUMAN}
        assert (caption.model, caption.revision) == (captioner.model, captioner.revision)
        assert caption.prompt_id
        assert caption.score is None


def test_the_same_question_has_the_same_answer_also_after_loading_again(make: Make) -> None:
    first, second = make(), make()

    answers = first.caption(images(first), CONTEXTS)

    assert answers == first.caption(images(first), CONTEXTS)
    assert answers == second.caption(images(second), CONTEXTS)
    assert first.cache_id == second.cache_id


def test_a_context_it_does_not_use_changes_nothing(make: Make) -> None:
    captioner = make()
    bare = [CaptionContext("")] * len(CONTEXTS)

    same = captioner.caption(images(captioner), bare) == captioner.caption(
        images(captioner), CONTEXTS
    )

    assert same != captioner.uses_context


def test_no_pairs_have_no_answers(make: Make) -> None:
    assert make().caption([], []) == []
