"""Properties of cleaning: one ordered list of pure steps, which names and numbers pass."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.workers.policy.ingest import TextPolicy
from kaption.workers.text import clean as cleaning
from kaption.workers.text.clean import Note, clean, steps, steps_id

POLICY = TextPolicy()
LANGUAGES = st.sampled_from([None, "en", "de", "fr", "es", "zh"])
NAMES = (
    "Marie Curie",
    "Nguyen Van An",
    "O'Neill",
    "Jean-Paul",
    "McDonald",
    "Zürich",
    "BMW",
    "Łódź",
)
NUMBERS = ("1943", "1,000", "3.50", "10:30", "42", "2019-2020", "007", "5th", "747-400", "1/2")
WORDS = (
    "a red vase",
    "on the table",
    "by the lake",
    "teh squre",
    "wiht",
    "stands beside",
    "pic of",
)
NOISE = ("<b>", "</b>", "&amp;", "\u200b", "  ", "!!!!", "\n", "click to enlarge.", "\ufe0f", "...")
PARTS = st.lists(
    st.tuples(st.sampled_from(WORDS), st.sampled_from(NAMES), st.sampled_from(NUMBERS)),
    min_size=1,
    max_size=4,
)


def kept(text: str, tokens: list[str]) -> list[str]:
    return [token for token in tokens if re.search(rf"(?<!\w){re.escape(token)}(?!\w)", text)]


@pytest.mark.slow
@given(PARTS, st.lists(st.sampled_from(NOISE), min_size=12, max_size=12), LANGUAGES)
def test_names_and_numbers_pass_between_noise(
    parts: list[tuple[str, str, str]], noise: list[str], language: str | None
) -> None:
    tokens = [token for _, *names in parts for token in names]
    words = [word for part in parts for word in part]
    text = " ".join(f"{word} {mark}" for word, mark in zip(words, noise, strict=False))

    assert kept(clean(text, POLICY, language).text, tokens) == tokens


@pytest.mark.slow
@given(st.text(max_size=200), LANGUAGES)
def test_cleaning_makes_no_text_much_longer(text: str, language: str | None) -> None:
    # NFC and slang alone may lengthen: three letters for one, and "u" becomes "you".
    assert len(clean(text, POLICY, language).text) <= 3 * len(text)


@given(st.text(max_size=200), LANGUAGES)
def test_each_step_is_pure_and_leaves_a_text(text: str, language: str | None) -> None:
    for step, _ in steps(POLICY, language):
        once = step(text)

        assert isinstance(once, str)
        assert step(text) == once


def test_the_order_is_that_of_the_list() -> None:
    notes = [note for _, note in steps(POLICY, "en") if note]

    assert notes == [
        *(Note.ENCODING, Note.HTML, Note.ENCODING, Note.INVISIBLE, Note.TEMPLATE, Note.FILE_NAME),
        *(Note.LINK, Note.BOILERPLATE, Note.SLANG, Note.CUT),
    ]


def test_the_id_changes_with_code_tables_and_library(monkeypatch: pytest.MonkeyPatch) -> None:
    steps_id.cache_clear()
    before = steps_id()
    monkeypatch.setattr(cleaning, "version", lambda _: "0.0")
    steps_id.cache_clear()
    other = steps_id()
    monkeypatch.undo()
    steps_id.cache_clear()

    assert re.fullmatch("[0-9a-f]{16}", before)
    assert other != before == steps_id()
