"""Special tokens in text from the web are broken, and other texts stay as they are."""

# ruff: noqa: RUF001  # look-alikes of ASCII are what this is about

import pytest

from kaption.workers.text.marks import Marks

MARKS = Marks(["<end_of_text>", "<|im_end|>", "[IMG]", "</s>", "<image>", "!", "user", " ", "▁▁"])


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("a <end_of_text> b", "a < end_of_text> b"),
        ("a <END_of_Text>", "a < END_of_Text>"),
        ("<|im_end|><|im_end|>", "< |im_end|>< |im_end|>"),
        ("[IMG] </s>", "[ IMG] < /s>"),
        ("<im<image>age>", "<im< image>age>"),
        ("\uff1cimage\uff1e", "< image>"),
        ("<im\u200bage>", "< image>"),
    ],
)
def test_a_mark_is_broken(text: str, broken: str) -> None:
    assert MARKS.broken(text) == broken
    assert MARKS.broken(broken) == broken


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello, user!",
        "a < b > c",
        "[sic]",
        "ｆｕｌｌ width ①",
        "👩‍👩‍👧 family",
        "x_y <b>bold</b>",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert MARKS.broken(text) == text


def test_no_marks_break_nothing() -> None:
    assert Marks([]).broken("<end_of_text>") == "<end_of_text>"
