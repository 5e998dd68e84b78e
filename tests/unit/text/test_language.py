from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from kaption.connections.errors import Fatal
from kaption.workers.policy import TextPolicy
from kaption.workers.text.language import LanguageDetector

# Few languages, so that the tests load few models.
POLICY = TextPolicy(detect_languages=("en", "de", "fr", "ru", "zh"))
TEXTS = {
    "en": "A large striped red circle stands on a road",
    "de": "Eine rote Vase steht auf dem Holztisch",
    "fr": "Un vase rouge posé sur une table en bois",
    "ru": "Красная ваза стоит на столе",
    "zh": "红色的花瓶",
}


@pytest.fixture(scope="module")
def detector() -> LanguageDetector:
    return LanguageDetector(POLICY)


def test_languages_are_detected_on_several_threads(detector: LanguageDetector) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(detector.detect, TEXTS.values()))

    assert [one.tag if one else None for one in found] == list(TEXTS)
    assert all(one and POLICY.language_confidence <= one.confidence <= 1 for one in found)


@pytest.mark.parametrize("text", ["", "...", "a vase", "1234567890 ?!", "Nike Air Max 90"])
def test_texts_that_could_be_any_language_have_none(detector: LanguageDetector, text: str) -> None:
    assert detector.detect(text) is None


def test_only_a_sure_language_that_is_not_accepted_is_refused() -> None:
    detector = LanguageDetector(POLICY.model_copy(update={"languages": ("en-GB",)}))

    assert detector.accepts(detector.detect(TEXTS["en"]))
    assert detector.accepts(detector.detect("a vase"))
    assert not detector.accepts(detector.detect(TEXTS["de"]))


def test_a_language_that_lingua_does_not_know_stops_the_worker() -> None:
    with pytest.raises(Fatal, match="xx"):
        LanguageDetector(TextPolicy(languages=("xx",))).detect("a large red circle")


def test_the_same_text_has_the_same_confidence_each_time(detector: LanguageDetector) -> None:
    found = {detector.detect("A red vase on a wooden table") for _ in range(50)}

    assert len(found) == 1
