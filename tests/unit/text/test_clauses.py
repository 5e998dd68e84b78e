# ruff: noqa: RUF001  # typographic and CJK punctuation is what this is about
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.workers.text.clauses import cut, split_clauses

PROSE = st.lists(
    st.sampled_from(
        ["red", "vase", "10:30", "1,000", "Dr.", ",", ". ", "; ", " — ", "\n", " ", "。"]
    )
).map("".join)


@pytest.mark.slow
@given(st.text() | PROSE)
def test_clauses_join_to_the_text_and_none_is_empty(text: str) -> None:
    clauses = split_clauses(text)

    assert "".join(clauses) == text
    assert all(clauses)


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("A red vase. On a table!", ["A red vase. ", "On a table!"]),
        ("red, blue; green: all", ["red, ", "blue; ", "green: ", "all"]),
        ("at 10:30 for 1,000 kr", ["at 10:30 for 1,000 kr"]),
        ("a cup—white", ["a cup—", "white"]),
        ("wood-fired oven - hot", ["wood-fired oven - ", "hot"]),
        ("first line\nsecond", ["first line\n", "second"]),
        ("红色的花瓶，放在桌上。很漂亮", ["红色的花瓶，", "放在桌上。", "很漂亮"]),
        ('He said "stop." Then left', ['He said "stop." ', "Then left"]),
        ("At 5 p.m. on a street. It rains", ["At 5 p.m. on a street. ", "It rains"]),
        ("A U.S. flag. St. Mary's, No. 5", ["A U.S. flag. ", "St. Mary's, ", "No. 5"]),
        ("Washington D.C. at 8 a.m. Monday", ["Washington D.C. at 8 a.m. Monday"]),
        ("Am 3. Oktober, z. B. in der Str. 5", ["Am 3. Oktober, ", "z. B. in der Str. 5"]),
        ("Дом на ул. Ленина. Зима", ["Дом на ул. Ленина. ", "Зима"]),
        ("Built in 1990. Now a cafe. OK", ["Built in 1990. ", "Now a cafe. ", "OK"]),
        ("Portrait of Dr. Who, e.g. in blue", ["Portrait of Dr. Who, ", "e.g. in blue"]),
    ],
)
def test_boundaries_follow_punctuation(text: str, clauses: list[str]) -> None:
    assert split_clauses(text) == clauses


@pytest.mark.slow
@given(st.text() | PROSE, st.integers(min_value=0, max_value=60))
def test_a_cut_is_a_prefix_that_fits(text: str, max_chars: int) -> None:
    short = cut(text, max_chars)

    assert len(short) <= max_chars
    assert text.startswith(short)


@pytest.mark.slow
@given(
    st.lists(st.text(alphabet="abcdef,.;", min_size=1, max_size=8), min_size=1),
    st.integers(min_value=8, max_value=60),
)
def test_no_word_that_fits_is_cut(words: list[str], max_chars: int) -> None:
    text = " ".join(words)

    short = cut(text, max_chars)

    rest = text[len(short) :]
    assert not rest or not rest.strip(",.;") or rest.lstrip(",.;").startswith(" ") or not short


@pytest.mark.parametrize(
    ("text", "max_chars", "short"),
    [
        ("A red vase. It stands on a table, near a wall", 20, "A red vase."),
        ("A red vase, standing on a table", 18, "A red vase"),
        ("A red vase standing on a table", 18, "A red vase"),
        ("Hi. A red vase standing on a table", 20, "Hi. A red vase"),
        ("supercalifragilistic", 5, "super"),
        ("short", 5, "short"),
    ],
)
def test_the_best_boundary_that_fits_wins(text: str, max_chars: int, short: str) -> None:
    assert cut(text, max_chars) == short
