"""What is taken out of a model's answer, and what the check `prose` refuses of the rest."""

# ruff: noqa: RUF001  # typographic and CJK punctuation is what models write

import time
from pathlib import Path

import pytest

from kaption.schemas import Caption, CaptionKind
from kaption.workers.captioners.answers import caption_of, whole_sentences
from kaption.workers.checks.prose import ProseCheck

VASE = "A red vase on a wooden table."
EXCLAIMED = [
    *("¡Por supuesto!", "¡Claro! Aquí tienes:", "Com certeza!", "Zeker! Hier is een beschrijving:"),
    *("Totta kai! Tässä on kuvateksti:", "Persze! Íme a leírás:", "Jistě! Zde je popis:"),
    *("Desigur! Iată o descriere:", "Tabii ki! İşte açıklama:", "Звісно! Ось опис:"),
    *("בטח! הנה תיאור:", "بالتأكيد! إليك وصفًا للصورة:", "حتماً! توضیح تصویر:", "물론이죠!"),
    *("অবশ্যই! এখানে বর্ণনা:", "แน่นอน! นี่คือคำบรรยาย:", "もちろん！", "Avec plaisir !", "Kein Problem!"),
]
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
    f"Caption – {VASE}",
    f"ALT TEXT — {VASE}",
    f"caption={VASE}",
    f"[CAPTION] {VASE}",
    f"✅ Caption: {VASE}",
    f"_Caption_: {VASE}",
    f"<h1>Caption</h1>{VASE}",
    f'A good caption would be "{VASE}"',
    f"The image can be captioned as follows: {VASE}",
    f"Here is what I see: {VASE}",
    f"Oczywiście! Oto podpis: {VASE}",
    f"もちろんです。こちらがキャプションです：{VASE}",
    f"画像の説明は以下の通りです。\n{VASE}",
    f"물론입니다! 다음은 캡션입니다: {VASE}",
    f"بالطبع! إليك وصف الصورة: {VASE}",
    f"ज़रूर! यहाँ कैप्शन है: {VASE}",
    f"Resim açıklaması: {VASE}",
    f"Option A: {VASE}\nOption B: A vase.",
    f"**Option 1 (short):** {VASE}\n\n**Option 2 (long):** Pottery.",
    f"• {VASE}\n• A vase.",
    f"Short caption: {VASE}\nLong caption: A vase of red clay.",
    f"Reasoning: it is red.\nCaption: {VASE}",
    f"<|channel|>analysis<|message|>A vase.<|end|><|channel|>final<|message|>{VASE}",
    f"analysisThe user wants a caption.assistantfinal{VASE}",
    f"[THINK]A vase.[/THINK]{VASE}",
    f"<|begin_of_thought|>A vase.<|end_of_thought|>{VASE}",
    f"<unused94>thought\nA vase.<unused95>{VASE}",
    f"USER: Describe the image. ASSISTANT: {VASE}",
    f"<s>[INST] Describe. [/INST] {VASE}</s>",
    f"model\n{VASE}<end_of_turn>",
    f"\\boxed{{\\text{{{VASE}}}}}",
    f"Here is the caption:\n```\n{VASE}\n```",
    f'"caption": "{VASE}"',
    f'{{"language": "en", "long_caption": "{VASE}"}}',
    f'{{"scene": "{VASE}", "count": 3, "kind": "photo"}}',
    f"{VASE} (Note: this caption is based on the image.)",
    f"{VASE}\n\nNote: The image has a low resolution.",
    f"{VASE}\n\nThis caption describes the main objects.",
    f"{VASE}\n\n(7 words)",
    f"{VASE}\n---\nLet me know if you need anything else!",
    f"{VASE}\n\nKeywords: vase, table",
    f"{VASE}\n\nUser: thanks",
    f"{VASE} ¿Quieres otra versión?",
    f"{VASE} 如果需要其他版本，请告诉我。",
    f"{VASE} Lassen Sie mich wissen, ob Sie mehr brauchen.",
    f"{VASE} #vase #red #table",
    f"<internal_monologue>A vase.</internal_monologue>{VASE}",
    f"<antThinking>A vase.</antThinking>\n{VASE}",
    f"<scratch_pad>A vase.</scratch_pad><plan>Say it.</plan><caption>{VASE}</caption>",
    f"<caption>{VASE}</caption>\n<tags>vase, table</tags>",
    f"<|START_THINKING|>A vase.<|END_THINKING|><|START_RESPONSE|>{VASE}<|END_RESPONSE|>",
    f"<ref>{VASE}</ref><box>(1,2),(3,4)</box>",
    f"Question: What is it? Answer: {VASE}",
    f"Q: Describe the image.\nA: {VASE}",
    f"GPT4 Correct Assistant: {VASE}",
    f"Step 1: Look.\nStep 2: Describe.\nCaption: {VASE}",
    f"As an AI language model, I can say this: {VASE}",
    f"Instagram caption: {VASE}",
    f"Caption (English): {VASE}",
    f"Description de l'image : {VASE}",
    f"In short: {VASE}",
    f"TL;DR: {VASE}",
    f"The image depicts: {VASE}",
    f"# Red Vase\n\n{VASE}",
    f"**A Vase on Wood**\n\n{VASE}",
    f">{VASE}",
    f"\\text{{{VASE}}}",
    f"{VASE}\n\nExplanation: The vase is red.",
    f"{VASE} Ich hoffe, das hilft!",
    f"{VASE} お役に立てば幸いです。",
    *(f"{said} {VASE}" for said in EXCLAIMED),
    f"Klar, hier ein Vorschlag: {VASE}",
    f"了解しました。以下が説明です：{VASE}",
    f"Here's my attempt: {VASE}",
    f"Here’s a quick one: {VASE}",
    f"Thank you for sharing the image. {VASE}",
    f"Describe the image.\n{VASE}",
    f"Write a caption for this image: {VASE}",
    f"Prompt: Describe it. Output: {VASE}",
    f"/no_think {VASE}",
    f"Caption generated: {VASE}",
    f"system\nYou are helpful.\nuser\nDescribe it.\nassistant\n{VASE}",
    f"### Thought\nA vase.\n### Caption\n{VASE}",
    f"1. **Observation**: a vase\n2. **Caption**: {VASE}",
    f"Subject: a vase\nSetting: a table\nCaption: {VASE}",
    f"{VASE} 😊",
    f"{VASE} What do you think?",
    f"{VASE}\n\nSource: the image",
    f"{VASE}\n\n(Caption length: 7 words)",
    f"{VASE}\n\n*Alt text:* A vase",
    f"Antwort: {VASE}",
    f"Réponse : {VASE}",
    f"Trả lời: {VASE}",
    f"الإجابة: {VASE}",
    f"最终答案：{VASE}",
    f"답변: {VASE}",
    f"คำตอบ: {VASE}",
    f"Gedanken: Ich sehe eine Vase.\n\nBildbeschreibung: {VASE}",
    f"Analyse: il y a un vase.\n\nLégende : {VASE}",
    f"Анализ: на фото ваза.\n\nОписание: {VASE}",
    f"التحليل: هناك مزهرية.\n\nالوصف: {VASE}",
    f"**思考过程：**\n1. 花瓶\n2. 桌子\n\n**描述：** {VASE}",
    f"### Analyse\nVase und Tisch\n\n### Bildunterschrift\n{VASE}",
    f"<反思>花瓶</反思>{VASE}",
    f"<描述>{VASE}</描述>",
    f"<légende>{VASE}</légende>",
    f"「描述：」{VASE}",
    f"「描述：{VASE}」",
    f"【描述】：{VASE}",
    f"【キャプション】{VASE}",
    f"（描述）{VASE}",
    f"描述﹕{VASE}",
    f"＊＊描述：＊＊{VASE}",
    f"１．{VASE}",
    f"1、{VASE}\n2、花瓶。",
    f"① {VASE}\n② 花瓶。",
    f"・ {VASE}\n・花瓶。",
    f'{{"caption"："{VASE}"}}',
    f"{{“caption”: “{VASE}”}}",
    f"Alternativtext für das Bild: {VASE}",
    f"Texte alternatif : {VASE}",
    f"النص البديل: {VASE}",
    f"代替テキスト：{VASE}",
    f"Das Bild zeigt: {VASE}",
    f"这张图片展示了：{VASE}",
    f"Image: {VASE}",
    f"Sure, I can help with that! {VASE}",
    f"I'd be happy to help! Here's a caption: {VASE}",
    f"承知いたしました。{VASE}",
    f"明白了，{VASE}",
    f"{VASE} Posso ajudar em algo mais?",
    f"{VASE} هل ترغب في وصف آخر؟",
    f"{VASE} क्या आप कुछ और जानना चाहेंगे?",
    f"{VASE} （字数：12）",
    f"{VASE} (20자)",
    f"{VASE}\n\nOR\n\nA vase.",
    f"{VASE}\\n\\nTags: vase",
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
    "A sign with the caption: Beware of the dog.",
    "Ein Schild mit der Beschreibung: Rathaus, erbaut 1880.",
    "A result: two runners cross the line.",
    "Description cards hang under paintings.",
    'A screenshot of a dialog. It asks "Do you want to save?"',
    "A cat sleeps. This description board stands behind it.",
    "Screenshot of code: if (a < b) { return; }",
    "A sign reads <EXIT> in green.",
    "A T-shirt that says I <3 NY.",
    "A player with #23 and another with #7",
    "Here goes the train: a steam engine in a valley.",
    "Of course a golf course, seen from above.",
    "木牌上写着：请注意安全。",
    "図書館の前の桜：春の朝。",
    'A poster that says "Keep calm!" in white letters on red.',
    "“Stop!” reads a sign by the road in the snow.",
    "A banner with the words Welcome home! hangs over a door.",
    "Yahoo! logo in purple on a white wall.",
    "Ja! steht auf einem Plakat an der Wand.",
    "Das Schild sagt: Achtung! Ein Hund liegt daneben.",
    "Un cartel dice ¡Cuidado! junto a una puerta verde.",
    "看板に「止まれ！」と書かれている。",
    "一块牌子写着“小心！”旁边有一只狗。",
    "A card reads Thank you! Flowers lie beside it.",
    "An assistant: a woman in white beside a dentist.",
    "A red vase. A question: where is the door?",
    "A summary: three charts on one page, in blue.",
    "Title page of an old book: The Tempest, 1623.",
    "Plan of a house: four rooms and a hall.",
    "A man in a coat, in short trousers, walks a dog.",
    "Description of a plant on a label in a garden.",
    "The image features a red vase: tall, slim and shiny.",
    "#metoo is written on a cardboard sign.",
    "Here is a red door.",
    "A letter reads Thank you for your help. A pen lies on it.",
    "A form with the fields Source: and Length: on paper.",
    "El usuario de un teléfono está sentado en un banco.",
    "Der Nutzer eines Rollstuhls fährt durch den Park.",
    "A child writes an answer: 42, on a board.",
    "El cartel dice Respuesta: sí, en letras rojas.",
    "A hummingbird hovers. Hmm is written on the feeder.",
    "ユーザー名の入力欄がある画面。",
    "Let there be light: a church window at dusk.",
    "「福」字贴在红色的门上。",
    "一个写着“描述：花瓶”的标签。",
    "【推荐】字样的红色海报。",
    "『坊っちゃん』の本が机の上にある。",
    "分析仪放在实验室的桌子上。",
    "Analyse-Geräte stehen im Labor.",
    "किताब मेज़ पर है। बिल्ली सो रही है।",
    "قطة تنام على الكرسي. ماذا تفعل؟",
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
    "<|thinking|> a vase, on a table",
    "[thinking] a vase, on a table",
    "<reasoning>\nIt is red, so",
    f"Hmm, the image shows a vase. Let me write: {VASE}",
    f"D'accord, l'utilisateur veut une légende. {VASE}",
    f"Okay, der Nutzer möchte eine Beschreibung. {VASE}",
    f"Vale, el usuario quiere una descripción. {VASE}",
    f"Хорошо, пользователь хочет описание. {VASE}",
    f"Kullanıcı bir açıklama istiyor. {VASE}",
    f"ユーザーは画像の説明を求めています。{VASE}",
    f"사용자가 캡션을 원합니다. {VASE}",
    f"使用者想要一個描述。{VASE}",
    f'"{VASE}" – a caption for the image.',
]


@pytest.mark.parametrize("answer", WRAPPED)
def test_the_caption_alone_is_taken(answer: str) -> None:
    assert caption_of(answer) == VASE


def test_the_documents_tell_the_size_of_the_sample() -> None:
    text = (Path(__file__).parents[3] / "docs" / "operating.md").read_text(encoding="utf-8")

    assert f"Each of {len(WRAPPED)} wrapped answers gives its caption" in " ".join(text.split())


@pytest.mark.parametrize("text", PLAIN)
def test_a_plain_caption_stays_and_passes(text: str) -> None:
    assert caption_of(text) == text
    assert ProseCheck().check(Caption(text=text, kind=CaptionKind.VLM)).passed


@pytest.mark.parametrize("char", ["_", ".", "[", "*", "{", "`", "\n", "a", "\u3002", "\U0001f600"])
@pytest.mark.parametrize(
    "wrapped", ["{} a vase", "A red vase {}", "caption: {}", '{{"caption": "{}"}}']
)
def test_an_answer_that_repeats_one_character_is_read_in_seconds(char: str, wrapped: str) -> None:
    began = time.process_time()

    caption_of(wrapped.format(char * 60_000))

    assert time.process_time() - began < 2  # quadratic time would be minutes


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
        ("စားပွဲပေါ်တွင် ပန်းအိုးရှိသည်။ အနီ", "စားပွဲပေါ်တွင် ပန်းအိုးရှိသည်။"),
        ("a red vase on a wooden", "a red vase on a wooden"),
        ("A label of 3.5 litres. A cup of 2.", "A label of 3.5 litres. A cup of 2."),
    ],
)
def test_a_cut_text_ends_with_its_last_whole_sentence(text: str, whole: str) -> None:
    assert whole_sentences(text) == whole


@pytest.mark.slow
def test_long_answers_take_no_time() -> None:
    for hostile in (
        "*" * 20_000,
        "[" * 20_000,
        '{"a":' * 5_000,
        "a " * 20_000,
        "- " * 20_000,
        "_a" * 9_000,
        "Caption " * 4_000,
        "<think>" * 4_000,
        "a: " * 9_000,
        "\n1. " * 9_000,
        "#a " * 9_000,
        "keterangan " * 3_000,
        "<plan>" * 4_000,
        "<a1>x</a1>" * 2_000,
        "<plan>" + "<b " * 9_000 + "</b>",
        "Question: a" * 2_000,
        "Subject: a\n" * 2_000,
        "- *" * 9_000 + ":",
        "system\n" * 4_000,
        "el usuario " * 4_000,
        "😊" * 9_000,
        "ja " * 9_000 + "!",
    ):
        caption_of(hostile)
        ProseCheck().check(Caption(text=hostile, kind=CaptionKind.VLM))
