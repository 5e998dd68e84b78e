"""The reading order of lines in an image, and words that a line's end divides."""

import random
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kaption.schemas import OcrText
from kaption.schemas.evidence import Box
from kaption.workers.text.lines import in_reading_order, joined

Placed = tuple[str, float, float, float, float]


def line(text: str, left: float, top: float, right: float, bottom: float) -> OcrText:
    return OcrText(text=text, box=Box(left=left, top=top, right=right, bottom=bottom))


def block(words: list[str], left: float, right: float, top: float = 0.2) -> list[Placed]:
    """Lines below each other."""
    return [
        (word, left, top + at / 10, right, top + at / 10 + 0.05) for at, word in enumerate(words)
    ]


LEFT, RIGHT = (
    ["first line", "second line", "third line"],
    ["fourth line", "fifth line", "last line"],
)
TWO = [*block(LEFT, 0.05, 0.45), *block(RIGHT, 0.55, 0.95)]
PRICES = [*block(["Tea", "Coffee"], 0.1, 0.3), *block(["2.20", "$ 3.50"], 0.7, 0.8)]
FORM = [*block(["Name:", "City:"], 0.1, 0.2), *block(["Ada", "Rome"], 0.5, 0.6)]
STACKED = [("今日は良い", 0.8, 0.2, 0.85, 0.8), ("天気です", 0.7, 0.2, 0.75, 0.7)]
WIDE = [("春の祭り", 0.3, 0.02, 0.7, 0.1), *STACKED, ("主催京都", 0.3, 0.9, 0.7, 0.97)]
ARABIC = [("مرحبا", 0.6, 0.1, 0.9, 0.2), ("بكم", 0.2, 0.1, 0.5, 0.2), ("شكرا", 0.5, 0.3, 0.9, 0.4)]
HEBREW = [*block(["שורה א", "שורה ב"], 0.55, 0.95), *block(["שורה ג", "שורה ד"], 0.05, 0.45)]
SIGN = [("GRAND", 0.1, 0.1, 0.4, 0.2), ("OPENING", 0.46, 0.11, 0.9, 0.21)]
SIGN += [("SALE", 0.1, 0.3, 0.4, 0.4), ("TODAY", 0.46, 0.31, 0.9, 0.41)]
SLANTED = [("one", 0.1, 0.1, 0.2, 0.2), ("two", 0.25, 0.12, 0.35, 0.22)]
SLANTED += [("three", 0.4, 0.14, 0.5, 0.24), ("four", 0.1, 0.3, 0.2, 0.4)]
HEADED = [
    ("A title over all", 0.1, 0.05, 0.9, 0.1),
    *TWO,
    ("A foot below all", 0.1, 0.9, 0.9, 0.95),
]


@pytest.mark.parametrize(
    ("placed", "read"),
    [
        (TWO, [*LEFT, *RIGHT]),
        (HEADED, ["A title over all", *LEFT, *RIGHT, "A foot below all"]),
        (PRICES, ["Tea", "2.20", "Coffee", "$ 3.50"]),
        (FORM, ["Name:", "Ada", "City:", "Rome"]),
        (STACKED, ["今日は良い", "天気です"]),
        (WIDE, ["春の祭り", "今日は良い", "天気です", "主催京都"]),
        (ARABIC, ["مرحبا", "بكم", "شكرا"]),
        (HEBREW, ["שורה א", "שורה ב", "שורה ג", "שורה ד"]),
        (SIGN, ["GRAND", "OPENING", "SALE", "TODAY"]),
        (SLANTED, ["one", "two", "three", "four"]),
    ],
)
def test_lines_are_read_as_people_read_them(placed: list[Placed], read: list[str]) -> None:
    lines = [line(*each) for each in placed]
    for seed in range(10):
        random.Random(seed).shuffle(lines)

        assert [each.text for each in in_reading_order(lines)] == read


def test_lines_without_a_box_keep_their_order() -> None:
    lines = (line("below", 0.1, 0.8, 0.9, 0.9), OcrText(text="no box"))

    assert in_reading_order(lines) == lines


FRACTIONS = st.floats(0, 1, allow_nan=False)
LINES = st.builds(line, st.text(max_size=6), *[FRACTIONS] * 4)


AS_HIGH = [
    (0.0, 0.0, 0.0, 0.5),
    (1.0, 0.0, 0.0, 0.75),
    (0.5, 1.0, 0.0, 1.0),
    (0.5, 0.375, 0.0, 1.0),
]
AS_WIDE = [(0.0, 0.0, 0.0, 1.0), *[(1.0, 0.0, 0.0, 0.0)] * 2, *[(0.0, 0.0, 0.0, 0.0)] * 2]
AS_WIDE += [(0.0, 0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0)]


@pytest.mark.slow
@given(st.lists(LINES, max_size=12), st.randoms(use_true_random=False))
@example([line("", *box) for box in AS_HIGH], random.Random(0))
@example([line("", *box) for box in AS_WIDE], random.Random(1))
@example([line(text, 0.1, 0.1, 0.5, 0.2) for text in "badc"], random.Random(2))
def test_any_boxes_give_all_lines_and_one_order(lines: list[OcrText], rng: random.Random) -> None:
    ordered = in_reading_order(lines)

    assert sorted(map(repr, ordered)) == sorted(map(repr, lines))
    assert in_reading_order(ordered) == ordered
    assert in_reading_order(rng.sample(lines, len(lines))) == ordered


def test_many_lines_take_no_long_time() -> None:
    lines = [line("a line of text", 0.1, at / 256, 0.9, (at + 0.5) / 256) for at in range(256)]
    began = time.process_time()

    in_reading_order(lines)

    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        (["The inter-", "national day"], "The international day"),
        (["a three-", "fold exam-", "ple"], "a threefold example"),
        (["foto-", "grafía"], "fotografía"),
        (["soft\u00ad", "ware"], "software"),
        (["Jean-", "Paul"], "Jean-Paul"),
        (["COCA-", "COLA"], "COCA-COLA"),
        (["2019-", "2020"], "2019-2020"),
        (["state-of-the-", "art"], "state-of-the-art"),
        (["a T-", "shirt"], "a T-shirt"),
        (["well-", "known"], "well-known"),
        (["Vor-", "und Nachname"], "Vor- und Nachname"),
        (["Sale -", "now"], "Sale - now"),
        (["- one", "- two"], "- one - two"),
        (["last-", "", " "], "last-"),
        ([], ""),
    ],
)
def test_a_word_that_a_line_divides_is_whole(texts: list[str], whole: str) -> None:
    assert joined(texts) == whole
