"""What every scorer keeps to."""

# ruff: noqa: D102 - a test's name says what it shows

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from kaption.workers.models.scorer import Scorer
from kaption.workers.plugins import load_scorer
from kaption.workers.policy.score import ClipPolicy

SIZES = ((40, 30), (64, 64), (20, 90))
TEXTS = ("a red circle", "", "a photo of a green star on the snow", "木桌")

Make = Callable[[], Scorer]


class ScorerConformance:
    """Override the fixture `policy`: it names the scorer, and gives its settings."""

    tolerance = 1e-4
    """By how much a number of an embedding may depend on the shape of its batch."""

    @pytest.fixture(scope="class")
    @classmethod
    def policy(cls) -> ClipPolicy:
        raise NotImplementedError("override the fixture `policy`")

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls, policy: ClipPolicy) -> Make:
        """Load the scorer as the stages do, each time anew."""
        return lambda: load_scorer(policy)

    @pytest.fixture(scope="class")
    @classmethod
    def scorer(cls, make: Make) -> Scorer:
        """Give one that is loaded."""
        return make()

    def test_it_says_who_it_is_the_same_each_time(self, scorer: Scorer, make: Make) -> None:
        again = make()

        assert scorer.model
        assert scorer.revision
        assert scorer.preprocessing_id
        assert scorer.recommended_score is None or -1 <= scorer.recommended_score <= 1
        assert scorer.context_length > scorer.count_tokens("")
        assert (again.model, again.revision) == (scorer.model, scorer.revision)
        assert again.preprocessing_id == scorer.preprocessing_id

    def test_images_become_tensors_of_one_shape_on_any_thread(self, scorer: Scorer) -> None:
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(scorer.preprocess, _images() * 4))

        assert len({(pixels.shape, pixels.dtype) for pixels in found}) == 1
        assert all(pixels.ndim == 3 and pixels.shape[0] == 3 for pixels in found)
        assert all(pixels.device.type == "cpu" for pixels in found)
        assert all(torch.equal(pixels, found[at % 3]) for at, pixels in enumerate(found))

    def test_the_whole_image_is_seen(self, scorer: Scorer) -> None:
        # Given a long image, and the same with an end in another colour, which a crop leaves out
        plain = Image.new("RGB", (300, 100), (10, 120, 200))
        ended = plain.copy()
        ended.paste((250, 240, 20), (0, 0, 30, 100))

        assert not torch.equal(scorer.preprocess(plain), scorer.preprocess(ended))

    def test_embeddings_are_unit_rows_of_one_space(self, scorer: Scorer) -> None:
        images = scorer.encode_images([scorer.preprocess(image) for image in _images()])
        texts = scorer.encode_texts(TEXTS)

        assert {str(images.dtype), str(texts.dtype)} == {"float32"}
        assert (len(images), len(texts)) == (len(SIZES), len(TEXTS))
        assert images.shape[1] == texts.shape[1]
        for rows in (images, texts):
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)

    def test_an_embedding_does_not_depend_on_its_batch(self, scorer: Scorer) -> None:
        pixels = [scorer.preprocess(image) for image in _images()]
        pairs = [
            (scorer.encode_images(pixels), [scorer.encode_images([each]) for each in pixels]),
            (scorer.encode_texts(TEXTS), [scorer.encode_texts([each]) for each in TEXTS]),
        ]

        for together, alone in pairs:
            np.testing.assert_allclose(together, np.concatenate(alone), atol=self.tolerance)

    def test_a_text_may_have_as_many_tokens_as_the_context(self, scorer: Scorer) -> None:
        # Given the longest text of words that fits
        words = ["red"]
        while scorer.count_tokens(" ".join([*words, "red"])) <= scorer.context_length:
            words.append("red")
        last = " ".join([*words[:-1], "blue"])

        # When it is encoded with another last word, then that word is not cut off
        one, other = scorer.encode_texts([" ".join(words), last])
        assert scorer.count_tokens(last) <= scorer.context_length
        assert not np.allclose(one, other, atol=1e-6)

    def test_more_words_have_more_tokens(self, scorer: Scorer) -> None:
        counts = [scorer.count_tokens(" ".join(["red"] * count)) for count in range(4)]

        assert counts == sorted(set(counts))


def _images() -> list[Image.Image]:
    return [Image.new("RGB", size, (50 * at, 90, 10)) for at, size in enumerate(SIZES)]
