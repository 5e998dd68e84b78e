"""What every captioner keeps to."""

# ruff: noqa: D102 - a test's name says what it shows

from __future__ import annotations

from collections.abc import Callable

import pytest
from PIL import Image

from kaption.schemas import CaptionKind, DetectedObject, OcrText
from kaption.workers.captioners.captioner import CaptionContext, Captioner
from kaption.workers.plugins import load_captioners
from kaption.workers.policy.recaption import RecaptionPolicy

CONTEXTS = (
    CaptionContext("a red star", "en", objects=(DetectedObject(label="star"),)),
    CaptionContext(""),
    CaptionContext('ein "Kreis"', "de", ocr=(OcrText(text="HALT {alt_text}"),)),
)
"""What is known of three images: much, nothing, and text that a careless template trips over."""

Make = Callable[[], Captioner]


class CaptionerConformance:
    """Override the fixture `policy`: it names the captioner, and gives its settings."""

    @pytest.fixture(scope="class")
    @classmethod
    def policy(cls) -> RecaptionPolicy:
        raise NotImplementedError("override the fixture `policy`")

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls, policy: RecaptionPolicy) -> Make:
        """Load the captioner as the recaption stage does, each time anew."""
        return lambda: load_captioners(policy)[0]

    def test_it_says_who_it_is(self, make: Make) -> None:
        captioner = make()

        assert captioner.name
        assert captioner.model
        assert captioner.revision

    def test_every_image_has_an_answer_and_no_caption_is_scored(self, make: Make) -> None:
        captioner = make()

        found = captioner.caption(_images(captioner), CONTEXTS)

        assert len(found) == len(CONTEXTS)
        for caption in (caption for captions in found for caption in captions):
            assert caption.kind not in {CaptionKind.ORIGINAL, CaptionKind.HUMAN}
            assert (caption.model, caption.revision) == (captioner.model, captioner.revision)
            assert caption.prompt_id
            assert caption.score is None

    def test_the_answer_is_the_same_again_and_after_loading_again(self, make: Make) -> None:
        first, second = make(), make()

        answers = first.caption(_images(first), CONTEXTS)

        assert answers == first.caption(_images(first), CONTEXTS)
        assert answers == second.caption(_images(second), CONTEXTS)
        assert first.cache_id == second.cache_id

    def test_prepared_images_have_the_answer_of_images(self, make: Make) -> None:
        captioner = make()
        images = _images(captioner)
        prepare = getattr(captioner, "prepare", lambda image: image)

        found = captioner.caption([prepare(image) for image in images], CONTEXTS)

        assert found == captioner.caption(images, CONTEXTS)

    def test_the_answer_depends_on_the_context_only_if_it_says_so(self, make: Make) -> None:
        captioner = make()
        images, bare = _images(captioner), [CaptionContext("")] * len(CONTEXTS)

        same = captioner.caption(images, bare) == captioner.caption(images, CONTEXTS)

        assert same != captioner.uses_context

    def test_an_empty_batch_has_no_answers(self, make: Make) -> None:
        assert make().caption([], []) == []


def _images(captioner: Captioner) -> list[Image.Image]:
    sizes = [(40, 30), (64, 64), (20, 90)] if captioner.uses_images else []
    return [Image.new("RGB", size, (50 * at, 90, 10)) for at, size in enumerate(sizes)]
