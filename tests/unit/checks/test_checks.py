# ruff: noqa: RUF001  # letters of many scripts are what this is about
import pytest

from kaption.connections.errors import Fatal
from kaption.schemas import Caption, CaptionKind, CheckResult
from kaption.testing.checks import CheckConformance
from kaption.testing.records import captioned_pair
from kaption.workers.checks.check import Check
from kaption.workers.checks.language import LanguageCheck
from kaption.workers.checks.words import count_words, similarity, words
from kaption.workers.plugins import CHECKS as CHECK_FAMILY
from kaption.workers.plugins import load_checks
from kaption.workers.policy.select import SelectPolicy

CHECKS = load_checks(SelectPolicy())
OURS = [name for name in CHECK_FAMILY.names() if name != "perplexity"]  # it has a test of its own


def verdict(name: str, text: str, kind: CaptionKind = CaptionKind.VLM) -> CheckResult:
    (check,) = [check for check in CHECKS if check.name == name]
    return check.check(Caption(text=text, kind=kind))


def test_checks_are_found_by_listing_the_package() -> None:
    names = ["language", "leakage", "length", "prose", "repetition", "whole"]
    assert [check.name for check in CHECKS] == names


REFUSED = {
    "length": ("Red vase", "word " * 300),
    "repetition": (
        "a red car " * 6,
        "blue blue blue blue blue blue",
        "a red red red",
        "a vase, vase, vase on a table",
        "a red car parked on the road a red car parked on the road",
        "A cat sits on a mat. A cat sits on a mat.",
        "A red car is parked on the street. On the street, a red car is parked.",
        "a cat zzzzzzzzzzzz on a mat",
        "a hahahahahaha sign",
        "a cat!!!!!!!!!!!!!!!!",
        "红色的红色的红色的车",
        "木桌上放着花瓶，木桌上放着花瓶",
        "红红红红红红",
        "แมวดำแมวดำแมวดำแมวดำ",
        "赤い花瓶赤い花瓶赤い花瓶",
        "빨간 꽃병 빨간 꽃병 빨간 꽃병",
        "लाल लाल लाल फूलदान",
    ),
    "language": ("IMG_2034 (1) 4032x3024 #0012 -- 8812", "a red vase on a \ufffd\ufffd table"),
    "leakage": (
        "USER: what is this? ASSISTANT: a vase",
        "Describe only what you see: a red vase",
        "As an AI language model I see a vase",
        "I'm sorry, the image you provided is dark",
        "<image> a red vase on a table",
        "I cannot see the image.",
        "Sorry, but I can’t help with that picture.",
        "I'm not able to view images",
        "I don't see any image here",
        "No image was provided.",
        "Ich kann das Bild leider nicht sehen.",
        "Je ne peux pas voir l'image.",
        "Lo siento, no puedo ver la imagen.",
        "Desculpe, não consigo ver a imagem.",
        "Mi dispiace, non posso vedere l'immagine.",
        "К сожалению, я не могу увидеть изображение.",
        "抱歉，我无法查看图片。",
        "申し訳ありませんが、画像を見ることができません。",
        "죄송하지만 이미지를 볼 수 없습니다.",
        "عذرًا، لا أستطيع رؤية الصورة.",
        "Unfortunately, I can't help with that.",
        "I cannot assist with this request.",
        "I won't be able to describe this image.",
        "I must decline to describe this picture.",
        "There is no image attached to your message.",
        "It seems that no image has been attached.",
        "Please provide an image so that I can describe it.",
        "Please upload the picture you want described.",
        "Could you share the image with me?",
        "I apologize, but I cannot identify people.",
        "My apologies, the photo did not load.",
        "As a language model, I have no eyes.",
        "This content violates the usage policy.",
        "Your request was blocked by the content policy.",
        "I can't identify or describe real people.",
        "I'm unable to determine the contents.",
        "It is not possible for me to describe the image.",
        "The image could not be loaded.",
        "The image is too blurry to describe.",
        "This photo is too dark to identify anything.",
        "I do not have the ability to see images.",
        "Sorry, I am not able to help.",
        "Désolé, je ne suis pas en mesure de décrire cette image.",
        "Malheureusement, je ne peux pas vous aider.",
        "Leider kann ich dieses Bild nicht beschreiben.",
        "Entschuldigung, ich bin nicht in der Lage, Bilder zu sehen.",
        "Niestety nie mogę opisać tego zdjęcia.",
        "Üzgünüm, bu görseli açıklayamam.",
        "Xin lỗi, tôi không thể xem hình ảnh.",
        "Ich sehe kein Bild. Es wurde nicht angehängt.",
        "Por favor, proporciona la imagen.",
        "画像が添付されていないようです。",
        "对不起，图片打不开。",
        "很抱歉，图片太暗了。",
        "申し訳ございません。別の画像をお願いします。",
        "ขออภัย ฉันไม่สามารถดูรูปภาพได้",
        "Maaf, saya tidak dapat melihat gambar.",
        "Tyvärr kan jag inte beskriva bilden.",
        "Beklager, jeg kan ikke se bildet.",
        "Valitettavasti en voi kuvailla kuvaa.",
        "Omlouvám se, ale nemohu popsat obrázek.",
        "Bohužel nemohu zobrazit tento obrázek.",
        "Sajnálom, nem tudom leírni a képet.",
        "Îmi pare rău, nu pot descrie imaginea.",
        "Λυπάμαι, δεν μπορώ να δω την εικόνα.",
        "מצטער, אני לא יכול לראות תמונות.",
        "متأسفم، نمی‌توانم تصویر را ببینم.",
        "Вибачте, я не можу описати зображення.",
        "На жаль, я не бачу зображення.",
        "Съжалявам, не мога да опиша снимката.",
        "Ho sento, no puc veure la imatge.",
        "দুঃখিত, আমি ছবিটি দেখতে পারছি না।",
        "மன்னிக்கவும், என்னால் படத்தைப் பார்க்க முடியவில்லை.",
        "Samahani, siwezi kuona picha.",
        "Paumanhin, hindi ko makita ang larawan.",
        "Žao mi je, ne mogu opisati sliku.",
        "Ľutujem, nemôžem opísať obrázok.",
        "很遗憾，我看不到图片。",
        "對不起，我無法查看圖片。",
        "すみません、画像を表示できません。",
        "죄송합니다. 이 요청을 도와드릴 수 없습니다.",
        "معذرت، میں تصویر نہیں دیکھ سکتا۔",
        "No es posible describir la imagen.",
        "Infelizmente não consigo ver a foto.",
        "Purtroppo non posso aiutarti.",
        "Helaas kan ik deze afbeelding niet beschrijven.",
    ),
    "prose": (
        "<think>The user wants a caption.</think> A red vase.",
        "Okay, the user wants a caption of a vase.",
        "Here is a caption: a red vase on a table",
        "**A red vase** on a table",
        "I'm just a text-based assistant.",
        "I'm not comfortable describing this person.",
        '{"caption": "a red vase on a table"}',
    ),
    "whole": (
        "A red vase on a",
        "a dog and",
        'a sign that reads "Welcome to',
        "a woman (left",
        "two cats,",
        "a man with his dog -",
        "Ein Hund auf einem",
        "un chat dans une",
        "красный автомобиль на",
        "木桌上放着一只，",
    ),
}
"""By check, captions that it is there to refuse."""


class TestOurChecks(CheckConformance):
    @pytest.fixture(scope="class", params=OURS)
    @classmethod
    def policy(cls, request: pytest.FixtureRequest) -> SelectPolicy:
        return SelectPolicy(checks=(request.param,))

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _refused(cls, request: pytest.FixtureRequest, check: Check) -> None:
        request.cls.refused = REFUSED[check.name]

    def test_it_has_the_name_of_its_module(self, policy: SelectPolicy, check: Check) -> None:
        assert (check.name,) == policy.checks


def test_an_alt_text_cannot_leak_a_prompt() -> None:
    assert verdict("leakage", "Question: who made this vase?", CaptionKind.ORIGINAL).passed


@pytest.mark.parametrize(
    ("text", "passes"),
    [("A red vase.", True), ("木桌上有花瓶。", True), ("A red vase on top", False), ("", False)],
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


LOOKS_LIKE = {
    "repetition": (
        "New York, New York at night",
        "100 x 100 x 100 cm wooden box",
        "The cat is black. The dog is black.",
        "The left shelf holds a red vase. The right shelf holds a blue vase.",
        "a red square, a red circle and a red star",
        "高高兴兴的孩子们在公园里玩",
        "ภาพถ่ายของแจกันสีแดงและแจกันสีน้ำเงินบนโต๊ะไม้",
        "赤い花瓶と青い花瓶がテーブルの上にある。花瓶の隣に猫がいる。",
        "a black and white photo of a black and white cat",
        "a sign with 1,000,000,000 on it",
    ),
    "whole": (
        "a block with the letter a",
        'a 12" pizza',
        "a tin of vitamin A",
        "a man beside a van",
        'a shirt that says "Go"',
        "a red vase (left)",
        "a woman looking up",
        "红色的花瓶",
    ),
    "leakage": (
        "A man who cannot swim holds a buoy.",
        "A box that is too heavy to lift stands in a hall.",
        'A sign that reads "Sorry, we are closed"',
        "A poster asks people to please provide a donation.",
        "Ein Mann, der nicht schwimmen kann, hält einen Ring.",
        "Une femme désolée est assise sur un banc.",
        "Žaluzie na okně domu",
        "En voiture sur la route",
        "一个男孩无法够到架子上的书。",
        "黑板上写着“对不起”三个字。",
        "抱歉的表情包：一只小狗低着头。",
        "申し訳なさそうな顔をした犬。",
        "죄송하다고 적힌 표지판을 든 남자.",
    ),
}
"""By check, captions that look like those that it refuses."""


@pytest.mark.parametrize("name", LOOKS_LIKE)
def test_a_caption_that_only_looks_bad_passes(name: str) -> None:
    for text in LOOKS_LIKE[name]:
        assert verdict(name, text).passed, text


def test_people_repeat_words_and_end_where_they_like() -> None:
    for name, text in (("repetition", "Girls Girls Girls"), ("whole", "to have and")):
        assert verdict(name, text, CaptionKind.ORIGINAL).passed, text


def test_a_cut_after_an_abbreviation_is_no_end_of_a_sentence() -> None:
    (whole,) = [check for check in CHECKS if check.name == "whole"]

    caption = Caption(text="A photo of Mr.", kind=CaptionKind.VLM, truncated=True)

    assert not whole.check(caption).passed


@pytest.mark.slow  # lingua's models take seconds to load
def test_captions_of_other_languages_are_refused_where_the_policy_names_some() -> None:
    # Given a policy that asks for English or the language of the alt text, which is German
    check = LanguageCheck(SelectPolicy(languages=("en", "alt_text")))
    pair = captioned_pair(detected_language="de")
    expected = {
        "A red vase stands on a wooden table": True,
        "Eine rote Vase steht auf einem Holztisch": True,
        "Un vase rouge est posé sur une table en bois": False,
        "Una donna legge un libro nel parco della città": False,
        "Красная ваза стоит на деревянном столе": False,
        "แจกันสีแดงบนโต๊ะไม้": False,
        "木のテーブルの上に赤い花瓶がある": False,
        "나무 탁자 위에 빨간 꽃병이 있다": False,
        "vase rouge": True,  # too short to be sure
        "Nike Air Max 90": True,
    }
    # When captions of many languages are judged
    found = {
        text: check.check_pair(Caption(text=text, kind=CaptionKind.VLM), pair).passed
        for text in expected
    }
    # Then those of another one fail, and those that are unsure pass
    assert found == expected
    german = Caption(text="Eine rote Vase steht auf einem Holztisch", kind=CaptionKind.VLM)
    assert not check.check(german).passed


def test_a_language_that_nobody_knows_stops_the_worker() -> None:
    with pytest.raises(Fatal, match=r"select\.languages"):
        LanguageCheck(SelectPolicy(languages=("klingon",)))
