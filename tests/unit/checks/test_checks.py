# ruff: noqa: RUF001  # letters of many scripts are what this is about
import pytest

from kaption.schemas import Caption, CaptionKind, CheckResult
from kaption.testing.checks import CheckConformance
from kaption.workers.checks.check import Check
from kaption.workers.checks.words import count_words, similarity, words
from kaption.workers.plugins import CHECKS as CHECK_FAMILY
from kaption.workers.plugins import load_checks
from kaption.workers.policy import SelectPolicy

CHECKS = load_checks(SelectPolicy())


def verdict(name: str, text: str, kind: CaptionKind = CaptionKind.VLM) -> CheckResult:
    (check,) = [check for check in CHECKS if check.name == name]
    return check.check(Caption(text=text, kind=kind))


def test_checks_are_found_by_listing_the_package() -> None:
    names = ["language", "leakage", "length", "prose", "repetition", "whole"]
    assert [check.name for check in CHECKS] == names


REFUSED = {
    "length": ("Red vase", "word " * 300),
    "repetition": ("a red car " * 6, "blue blue blue blue blue blue"),
    "language": ("IMG_2034 (1) 4032x3024 #0012 -- 8812", "a red vase on a \ufffd\ufffd table"),
    "leakage": (
        "USER: what is this? ASSISTANT: a vase",
        "Describe only what you see: a red vase",
        "As an AI language model I see a vase",
        "I'm sorry, the image you provided is dark",
        "<image> a red vase on a table",
    ),
    "prose": (
        "<think>The user wants a caption.</think> A red vase.",
        "Okay, the user wants a caption of a vase.",
        "Here is a caption: a red vase on a table",
        "**A red vase** on a table",
        '{"caption": "a red vase on a table"}',
    ),
    "whole": (),  # it judges how a caption came about, and not its text: see below
}
"""By check, captions that it is there to refuse."""


class TestOurChecks(CheckConformance):
    @pytest.fixture(scope="class", params=CHECK_FAMILY.names())
    def policy(self, request: pytest.FixtureRequest) -> SelectPolicy:
        return SelectPolicy(checks=(request.param,))

    @pytest.fixture(scope="class", autouse=True)
    def _refused(self, request: pytest.FixtureRequest, check: Check) -> None:
        request.cls.refused = REFUSED[check.name]

    def test_it_has_the_name_of_its_module(self, policy: SelectPolicy, check: Check) -> None:
        assert (check.name,) == policy.checks


def test_an_alt_text_cannot_leak_a_prompt() -> None:
    assert verdict("leakage", "Question: who made this vase?", CaptionKind.ORIGINAL).passed


@pytest.mark.parametrize(
    ("text", "passes"),
    [("A red vase.", True), ("木桌上有花瓶。", True), ("A red vase on a", False), ("", False)],
)
def test_a_cut_caption_must_end_with_a_sentence(text: str, passes: bool) -> None:
    (whole,) = [check for check in CHECKS if check.name == "whole"]
    caption = Caption(text=text, kind=CaptionKind.VLM, truncated=True)

    assert whole.check(caption).passed == passes
    assert whole.check(caption.model_copy(update={"truncated": False})).passed


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


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("A red vase on a wooden table", 7, 7),
        ("红色的花瓶放在木桌上", 5, 9),
        ("木のテーブルの上の赤い花瓶", 5, 10),
        ("แจกันสีแดงบนโต๊ะไม้", 4, 7),
        ("ແຈກັນສີແດງຢູ່ເທິງໂຕະໄມ້", 4, 8),
        ("ថូផ្កាពណ៌ក្រហមនៅលើតុឈើ", 4, 9),
        ("သစ်သားစားပွဲပေါ်က ပန်းအိုးအနီ", 4, 9),
        ("나무 탁자 위의 빨간 꽃병", 5, 5),
        ("लकड़ी की मेज पर लाल फूलदान", 6, 6),
        ("மர மேசையில் சிவப்பு பூச்சாடி", 4, 4),
        ("কাঠের টেবিলের উপর একটি লাল ফুলদানি", 6, 6),
        ("مَزْهَرِيَّة حمراء على طاولة خشبية", 5, 5),
        ("عکس کودک که بازی می\u200cکند", 5, 5),
        ("花瓶", 1, 2),
        ("ไข่", 1, 1),
        ("", 0, 0),
    ],
)
def test_words_are_counted_in_every_script(text: str, least: int, most: int) -> None:
    assert least <= count_words(text) <= most


@pytest.mark.parametrize(
    "text", ["红色的花瓶放在木桌上，", "แจกันสีแดงบนโต๊ะไม้ข้างหน้าต่าง", "लाल फूलदान मेज पर "]
)
def test_a_long_text_is_as_long_in_every_script(text: str) -> None:
    assert verdict("length", text * 15, CaptionKind.ORIGINAL).passed
    assert not verdict("length", text * 150, CaptionKind.ORIGINAL).passed


def test_different_captions_of_one_script_are_not_near_equal() -> None:
    one = "แมวดำตัวใหญ่นอนหลับอยู่บนโซฟาสีแดงข้างหน้าต่างบานใหญ่ในห้องนั่งเล่นของบ้านไม้เก่า"
    other = "เด็กผู้หญิงสองคนกำลังวิ่งเล่นลูกบอลอยู่ในสวนสาธารณะใกล้แม่น้ำท่ามกลางแสงแดดยามเช้าของฤดูหนาว"

    assert similarity(one, other) < 0.5
    assert similarity(one, one + "。") == 1.0
