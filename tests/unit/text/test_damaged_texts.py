# ruff: noqa: RUF001  # letters of many scripts are what is tested
"""Texts that were read in a wrong encoding, styled letters, flags and texts without words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.workers.policy.ingest import TextPolicy
from kaption.workers.text.clean import clean
from kaption.workers.text.codepages import reread

LETTERS = (
    "กขคงจชดตถทนบปพฟมยรลวสหอเแโใไะาิีุู่้",
    "абвгдежзийклмнопрстуфхцчшщъыьэюяАБВГДЕРСТ",
    "ءآأابپتٹثجچحخدڈذرڑزژسشصضطعغفقکگلمںنوھہیے،؟",
    "אבגדהוזחטיכלמנסעפצקרשתךםןףץ",
    "αβγδεζηθικλμνξοπρστυφχψωάέήίόύώς",
    "अआइईउकखगघचजटडतथदनपबमयरलवशसहािीुेो",
    "가나다라마바사아자차카타파하빨간꽃병나무식탁위의",
    "的一是不了人我在有他这为之大来以个中上们红色花瓶放木桌联通瑚鏖",
    "あいうえおかきくけこアイウエオ赤花瓶机上の猫黒白東京ー",
)


def cleaned(text: str) -> str:
    once = clean(text, TextPolicy()).text
    assert clean(once, TextPolicy()).text == once
    return once


@pytest.mark.parametrize(
    ("text", "written", "read"),
    [
        ("Красная ваза на столе", "cp1251", "latin-1"),
        ("Две собаки играют в снегу", "cp1251", "cp1252"),
        ("Красная ваза на столе", "utf-8", "koi8-r"),
        ("Красная ваза на столе", "utf-8", "cp866"),
        ("مزهرية حمراء على الطاولة", "utf-8", "cp1256"),
        ("机の上の赤い花瓶", "shift_jis", "latin-1"),
        ("红色的花瓶放在木桌上", "utf-8", "gb18030"),
    ],
)
def test_a_text_that_was_read_in_a_wrong_encoding_is_repaired(
    text: str, written: str, read: str
) -> None:
    wrong = text.encode(written).decode(read)

    assert cleaned(wrong) == text


@pytest.mark.parametrize(
    "text",
    [
        "Ærø, Åland, Öland und Ürümqi",
        "Một bình hoa đỏ trên bàn gỗ",
        "Þórður á ísöld við Ölfusá",
        "中国联通的红色招牌",
        "카페의 붉은 꽃병",
        "مزهرية حمراء على الطاولة",
        "Красная ваза на столе",
        "ÉCOLE À ÊTRE ÎLE",
        # These are valid in another encoding.
        "รถแดง",
        "แดง แดง",
        "рак, сом",
        "чай, сок",
        "آگ آگ",
        "أ، ب، ت، ث، ج، ح، خ",
        "Ä Ö Ü ß",
        "áéíóú ÁÉÍÓÚ",
        "æøå ÆØÅ",
        "Þær á ís",
        "क्\u200dष और र्\u200dय",
        "👩\u200d👩\u200d👧 family at the beach",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f flag of England",
    ],
)
def test_a_sound_text_stays(text: str) -> None:
    assert cleaned(text) == text


@given(st.sampled_from(LETTERS).flatmap(lambda letters: st.text(letters + " ", max_size=40)))
def test_letters_of_one_script_are_never_read_again(text: str) -> None:
    assert reread(text) == text


@given(st.lists(st.text("aelnrstàâäåæçéèêëíîïñóôöøßúûüýþðÀÉÎÖÜÞ", min_size=2), max_size=8))
def test_western_words_are_never_read_again(words: list[str]) -> None:
    text = " ".join(f"{word}n" for word in words)

    assert reread(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("𝓡𝓮𝓭 𝓿𝓪𝓼𝓮 on a table", "Red vase on a table"),
        ("Ｒｅｄ ｖａｓｅ，２ ｃｕｐｓ", "Red vase，2 cups"),
        ("ｶﾀｶﾅの猫", "カタカナの猫"),
        ("T\u0336h\u0336e\u0336 red vase", "The red vase"),
        ("a dog\U000e0068\U000e0069 runs", "a dog runs"),
        ("ⓇⒺⒹ vase", "RED vase"),
        ("tr\ufffds belle maison dans la ville", "trs belle maison dans la ville"),
        ("红色的花瓶\ufffd放在木桌上", "红色的花瓶放在木桌上"),
        ("It\ufffds a dog, don\ufffdt run", "It\u2019s a dog, don\u2019t run"),
        ("Fu\ufffdball", ""),
        ("Кра\ufffdна\ufffdва ва\ufffdа", ""),
        ("a long text of many words with one br\ufffdken word", None),
        ("/home/me/pictures/red vase.png", "red vase"),
    ],
)
def test_what_is_left_of_odd_letters(text: str, expected: str | None) -> None:
    found = cleaned(text)

    assert found if expected is None else found == expected


@pytest.mark.parametrize("text", ["1 ജപ്പാനീസ് യെന്\u200d", "യൂറോപീന്\u200d സെന്\u200dറ്"])
def test_a_joiner_that_makes_a_letter_stays_at_the_end_of_a_word(text: str) -> None:
    assert clean(text, TextPolicy()).text == text
