"""Repetition of small sets of texts."""

import math

import pytest

from tools.evaluate.diversity import bleu, distinct, phrases, repeated, self_bleu, words


def test_distinct_2_is_the_share_of_different_pairs_of_words() -> None:
    # "a b", "b c", "a b": two different ones of three
    assert distinct([["a", "b", "c"], ["a", "b"]], 2) == pytest.approx(2 / 3)
    assert distinct([], 2) == 0.0


def test_an_equal_text_has_bleu_1_and_one_without_a_common_word_0() -> None:
    told = words("A large red star, on a beach.")
    assert told == ["a", "large", "red", "star", "on", "a", "beach"]
    assert bleu(told, [told]) == pytest.approx(1.0)
    assert bleu(told, [["nothing", "shared"]]) == 0.0
    assert bleu([], [told]) == 0.0


def test_bleu_of_a_part_has_the_brevity_penalty() -> None:
    # every n-gram of the two words is in the reference of four
    assert bleu(["a", "red"], [["a", "red", "big", "star"]]) == pytest.approx(math.exp(1 - 4 / 2))


def test_a_repeated_word_counts_as_often_as_in_the_reference() -> None:
    # 1-grams: 1 of 2; 2-grams with one added: 1 of 2
    assert bleu(["a", "a"], [["a", "b"]]) == pytest.approx(0.5)


def test_self_bleu_tells_equal_texts_from_different_ones() -> None:
    same = self_bleu("same", [["a", "red", "star"]] * 4)
    other = self_bleu("other", [["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"]])
    assert same.value == pytest.approx(1.0)
    assert other.value == 0.0


def test_the_most_frequent_phrases_come_with_the_share_of_texts() -> None:
    texts = [words(t) for t in ("on a beach", "it lies on a beach on a beach", "a red star", "x")]
    _, first, second, third = phrases("texts with", texts)
    assert (first.name, first.value) == ('texts with "on a beach"', 0.5)
    assert {second.value, third.value} == {0.25}


def test_texts_that_two_images_share_are_counted() -> None:
    assert repeated("equal", ["a", "b", "a", "c"]).value == 0.5
