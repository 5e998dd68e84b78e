from __future__ import annotations

import pytest

from kaption.workers.policy.ingest import TextPolicy
from kaption.workers.text.clean import Note, read_alt_text
from kaption.workers.text.language import LanguageDetector

pytestmark = pytest.mark.slow

POLICY = TextPolicy(detect_languages=("en", "de", "fr"))


@pytest.fixture(scope="module")
def languages() -> LanguageDetector:
    return LanguageDetector(POLICY)


def test_the_language_is_that_of_the_cleaned_text(languages: LanguageDetector) -> None:
    page = '<div class="the main picture of the page">Eine wei&szlig;e Vase auf dem Tisch</div>'

    alt = read_alt_text(page, None, POLICY, languages)

    assert alt.text == "Eine weiße Vase auf dem Tisch"
    assert alt.detected is not None
    assert alt.detected.tag == "de"


def test_a_sure_language_wins_over_the_declared_one(languages: LanguageDetector) -> None:
    text = "An old man and a small dog are walking thru teh park frm the lake"

    alt = read_alt_text(text, "de-AT", POLICY, languages)

    assert alt.text == "An old man and a small dog are walking through the park from the lake"
    assert Note.SLANG in alt.notes


def test_an_unsure_text_is_read_in_its_declared_language(languages: LanguageDetector) -> None:
    alt = read_alt_text("luv u", "en", POLICY, languages)

    assert (alt.text, alt.detected) == ("love you", None)
