from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from kaption.workers.policy.ingest import TextPolicy
from kaption.workers.text.clean import clean

TABLES = tomllib.loads(files("kaption.workers.text").joinpath("slang.toml").read_text("utf-8"))
ENTRIES = [
    (section, word, plain) for section, table in TABLES.items() for word, plain in table.items()
]


def test_the_english_tables_are_of_use() -> None:
    english = [word for section, word, _ in ENTRIES if section.startswith(("any", "en"))]

    assert len(english) >= 150


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_every_entry_is_reached_and_its_replacement_is_final(language: str) -> None:
    sections = {language, f"{language}_lower"} | (
        {"any", "any_lower", "any_english", "any_english_lower"} if language == "en" else set()
    )

    for section, word, plain in ENTRIES:
        if section in sections:
            cleaned = clean(f"Bxx {word} yxx", TextPolicy(), language).text
            assert cleaned == " ".join(f"Bxx {plain} yxx".split()), word


@pytest.mark.parametrize(
    "text",
    [
        "Un top e una gonna.",
        "Un pic enneigé",
        "Teko teh di atas meja",
        "Gry komputerowe",
        "Un pix albastru",
        "Chiar frumos",
        "Watter blom",
        "La lotta tra due uomini",
        "Il portait un chapeau",
        "Forrest Gump",
        "The letter u with an umlaut",
    ],
)
def test_words_of_other_languages_are_no_slang(text: str) -> None:
    assert clean(text, TextPolicy()).text == text


def test_where_english_words_stand_they_are() -> None:
    assert clean("gonna eat with teh cat", TextPolicy()).text == "going to eat with the cat"
