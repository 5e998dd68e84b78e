"""What is taken out of a model's answer, and what the check `prose` refuses of the rest."""

# ruff: noqa: RUF001  # typographic and CJK punctuation is what models write

import pytest

from kaption.schemas import Caption, CaptionKind
from kaption.workers.captioners.answers import caption_of, whole_sentences
from kaption.workers.checks.prose import ProseCheck

VASE = "A red vase on a wooden table."
WRAPPED = [
    VASE,
    f"<think>\nOkay, the user wants a caption. I see a vase.\n</think>\n\n{VASE}",
    f"Okay, the user wants a caption.\n</think>\n{VASE}",
    f"<thinking>Hmm.</thinking><answer>{VASE}</answer>",
    f"◁think▷The user wants a caption.◁/think▷{VASE}",
    f"Here is a caption: {VASE}",
    f"Here's a caption for the image:\n\n{VASE}",
    f"Here is a one-sentence description of the picture: {VASE}",
    f"Sure! {VASE}",
    f"Sure, here is a caption for this image: {VASE}",
    f"Certainly! Here's the description you asked for:\n> {VASE}",
    f"Of course. {VASE}",
    f"Caption: {VASE}",
    f"**Caption:** {VASE}",
    f"**Caption**: {VASE}",
    f"### Description\n{VASE}",
    f"## Caption:\n\n**{VASE}**",
    f"Final answer: {VASE}",
    f"Assistant: {VASE}",
    f"- {VASE}",
    f"* {VASE}",
    f"1. {VASE}",
    "A **red vase** on a *wooden* table.",
    "A `red vase` on a __wooden__ table.",
    "A [red vase](https://shop.example/vase) on a wooden table.",
    f'"{VASE}"',
    f"“{VASE}”",
    f'{{"caption": "{VASE}"}}',
    f'{{"image": 1, "Description": "{VASE}"}}',
    f'```json\n{{"caption": "{VASE}", "tags": ["vase"]}}\n```',
    f"```\n{VASE}\n```",
    f'["{VASE}", "Another one."]',
    f'{{"caption": "{VASE}", "tags": ["va',
    f"Here are a few options:\n1. {VASE}\n2. A vase.\n3. Pottery.",
    f"{VASE} Let me know if you would like another one!",
    f"{VASE}\n\nI hope this helps.",
    f"Voici une légende pour l'image : {VASE}",
    f"Hier ist eine Bildunterschrift: {VASE}",
    f"Aquí tienes una descripción: {VASE}",
    f"Here is the JSON:\n{{'caption': '{VASE}'}}",
    f"Sure thing! Here you go: {VASE}",
    f"Okay, here's a description of the image:\n\n{VASE}",
    f"<description>{VASE}</description>",
    f"Thinking: a vase, on wood, I think. It is red.\n\n**Final caption:** {VASE}",
    f"Output: {VASE}",
    f"以下是图片的描述：{VASE}",
    f"当然！{VASE}",
]
PLAIN = [
    VASE,
    "Here is where the river meets the sea, under a grey sky.",
    "Sure-footed goats climb a steep rock.",
    "First-class train seats with blue covers, and a small table.",
    'A sign that says "Okay, let\'s go" above a door.',
    "木桌上放着一只红色的花瓶。",
    "Ένα κόκκινο βάζο σε τραπέζι.",
    "Well-dressed guests at a wedding, 5 * 3 chairs in rows.",
    "Un vase rouge posé sur une table en bois.",
    "Eine rote Vase auf einem Holztisch, daneben zwei Äpfel.",
    "Un jarrón rojo sobre una mesa de madera.",
    "Красная ваза на деревянном столе.",
    "مزهرية حمراء على طاولة خشبية.",
    "לבן וכחול: דגל על בניין.",
    "木のテーブルの上の赤い花瓶。",
    "나무 탁자 위의 빨간 꽃병.",
    "लकड़ी की मेज पर एक लाल फूलदान।",
    "แจกันสีแดงบนโต๊ะไม้",
    "Bình hoa đỏ trên bàn gỗ.",
    "Sur la table : un vase rouge et trois pommes.",
    "Logo of Here, a map service, in teal.",
    "A bar chart of sales: 2019 to 2024, in blue.",
    "I ♥ NY on a white T-shirt.",
    "The user interface of a phone with a clock.",
    "So many tulips: a field in red and yellow.",
    "2 dogs - one black, one white - in the snow.",
]
HOPELESS = [
    "<think>Okay, the user wants me to describe this picture. It shows a vase",
    "Okay, the user wants a caption for this image. Let me look at it.",
    "Okay, so I need to describe the picture in one sentence.",
    "The user is asking for a description of the image.",
    "Let me think about what is in this picture.",
    "I need to write one caption that keeps what can be seen.",
    "Got it, let's describe the vase on the table",
    "Alright, I see a red vase on a table",
    "We need to produce a caption. The image shows a vase.",
    "用户想要一段图片的描述，我先看看。",
    "Thinking process: 1. There is a vase. 2. It is red.",
    "**Analyzing the image:** there is a vase",
    "Sure!",
    "| object | colour |\n|---|---|\n| vase | red |",
    '{"vase": {"colour": {"red": 1}}',
]


@pytest.mark.parametrize("answer", WRAPPED)
def test_the_caption_alone_is_taken(answer: str) -> None:
    assert caption_of(answer) == VASE


@pytest.mark.parametrize("text", PLAIN)
def test_a_plain_caption_stays_and_passes(text: str) -> None:
    assert caption_of(text) == text
    assert ProseCheck().check(Caption(text=text, kind=CaptionKind.VLM)).passed


@pytest.mark.parametrize("answer", HOPELESS)
def test_what_is_no_caption_is_refused(answer: str) -> None:
    found = ProseCheck().check(Caption(text=caption_of(answer), kind=CaptionKind.VLM))
    assert not found.passed
    assert found.detail


@pytest.mark.parametrize("answer", [each for each in WRAPPED[1:] if "](" not in each][:10])
def test_the_check_refuses_the_same_from_captioners_of_users(answer: str) -> None:
    text = " ".join(answer.split())
    caption = Caption(text=text, kind=CaptionKind.FUSED)
    assert not ProseCheck().check(caption).passed
    assert ProseCheck().check(caption.model_copy(update={"kind": CaptionKind.HUMAN})).passed


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("A red vase. It stands on a wooden", "A red vase."),
        ("A red vase! Behind it are two, thr", "A red vase!"),
        ("Dr. Smith holds a red va", "Dr. Smith holds a red va"),
        ("A sign says “Stop.” Two cars wait at the", "A sign says “Stop.”"),
        ("木桌上有花瓶。旁边放着一", "木桌上有花瓶。"),
        ("यह एक लाल फूलदान है। यह मेज", "यह एक लाल फूलदान है।"),
        ("a red vase on a wooden", "a red vase on a wooden"),
        ("A label of 3.5 litres. A cup of 2.", "A label of 3.5 litres. A cup of 2."),
    ],
)
def test_a_cut_text_ends_with_its_last_whole_sentence(text: str, whole: str) -> None:
    assert whole_sentences(text) == whole


def test_long_answers_take_no_time() -> None:
    for hostile in (
        "*" * 20_000,
        "[" * 20_000,
        '{"a":' * 5_000,
        "a " * 20_000,
        "- " * 20_000,
        "_a" * 9_000,
    ):
        caption_of(hostile)
        ProseCheck().check(Caption(text=hostile, kind=CaptionKind.VLM))
