import pytest

from kaption.schemas import Caption, CaptionKind, CheckResult
from kaption.workers.checks.check import Check
from kaption.workers.checks.words import similarity, words
from kaption.workers.plugins import load_checks
from kaption.workers.policy import SelectPolicy

CHECKS = load_checks(SelectPolicy())


def verdict(name: str, text: str, kind: CaptionKind = CaptionKind.VLM) -> CheckResult:
    (check,) = [check for check in CHECKS if check.name == name]
    return check.check(Caption(text=text, kind=kind))


def test_checks_are_found_by_listing_the_package() -> None:
    assert [check.name for check in CHECKS] == ["language", "leakage", "length", "repetition"]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
class TestConformance:
    @pytest.mark.parametrize(
        "text",
        [
            "A red vase on a wooden table.",
            "木桌上放着一只红色的花瓶",
            "Ένα κόκκινο βάζο σε τραπέζι",
        ],
    )
    def test_a_plain_caption_passes(self, check: Check, text: str) -> None:
        result = check.check(Caption(text=text, kind=CaptionKind.VLM))

        assert result.passed
        assert result.name == check.name
        assert result.detail == ""

    @pytest.mark.parametrize("text", ["", " ", "\x00", "🙂" * 50, "a" * 60_000, "\ufffd"])
    def test_odd_texts_are_judged_and_not_raised_on(self, check: Check, text: str) -> None:
        result = check.check(Caption(text=text, kind=CaptionKind.FUSED))

        assert result.passed == (result.detail == "")

    def test_the_same_caption_gets_the_same_result(self, check: Check) -> None:
        caption = Caption(text="red red red red red red", kind=CaptionKind.VLM)

        assert check.check(caption) == check.check(caption)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("length", "Red vase"),
        ("length", "word " * 300),
        ("repetition", "a red car " * 6),
        ("repetition", "blue blue blue blue blue blue"),
        ("language", "IMG_2034 (1) 4032x3024 #0012 -- 8812"),
        ("language", "a red vase on a \ufffd\ufffd table"),
        ("leakage", "USER: what is this? ASSISTANT: a vase"),
        ("leakage", "Describe only what you see: a red vase"),
        ("leakage", "As an AI language model I see a vase"),
        ("leakage", "I'm sorry, the image you provided is dark"),
        ("leakage", "<image> a red vase on a table"),
    ],
)
def test_what_a_check_is_for_fails_it(name: str, text: str) -> None:
    result = verdict(name, text)

    assert not result.passed
    assert result.detail


def test_an_alt_text_cannot_leak_a_prompt() -> None:
    assert verdict("leakage", "Question: who made this vase?", CaptionKind.ORIGINAL).passed


def test_words_of_spaceless_scripts_are_their_characters() -> None:
    assert words("红色 vase, isn't it?") == ["红", "色", "vase", "isn't", "it"]


@pytest.mark.parametrize(
    ("one", "other", "value"),
    [
        ("A red vase.", "a RED vase", 1.0),
        ("a red vase", "a blue vase", 0.5),
        ("", "", 1.0),
        ("a", "b", 0),
    ],
)
def test_similarity_is_the_jaccard_index_of_words(one: str, other: str, value: float) -> None:
    assert similarity(one, other) == value
