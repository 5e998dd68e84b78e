"""Tells which scripts a text is written in, and which language a text of Chinese characters has."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache

_HAN = "CJK"
_LANGUAGES = {
    "ARABIC": "ar ckb fa pa ps sd ug ur",
    "ARMENIAN": "hy",
    "BENGALI": "as bn",
    "BOPOMOFO": "zh",
    _HAN: "ja ko zh",
    "CYRILLIC": "be bg kk ky mk mn ru sr tg uk uz",
    "DEVANAGARI": "hi mr ne sa",
    "ETHIOPIC": "am ti",
    "GEORGIAN": "ka",
    "GREEK": "el",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "HANGUL": "ko",
    "HEBREW": "he yi",
    "HIRAGANA": "ja",
    "KANNADA": "kn",
    "KATAKANA": "ja",
    "KATAKANA-HIRAGANA": "ja",
    "KHMER": "km",
    "LAO": "lo",
    "LATIN": "sr uz",
    "MALAYALAM": "ml",
    "MYANMAR": "my",
    "ORIYA": "or",
    "SINHALA": "si",
    "TAMIL": "ta",
    "TELUGU": "te",
    "THAI": "th",
}
"""The languages of each script, which is the first word in the Unicode names of its letters. Those
that are not named here use the Latin alphabet."""
_NAMED = frozenset(" ".join(_LANGUAGES.values()).split())
# Old forms that Japan replaced and that Chinese in Taiwan and Hong Kong still writes.
_OLD_FORMS = frozenset(
    "國學會來對應變邊點實氣廣圖寫發澤關觀歡權樂藥經繼讀賣價繪檢險劍獨單戰擔鐵傳轉從燈爐齒"
    "這隻個圍區號處當體辦獸晝濱澀淺殘歸歲條數樓豐麥鹽勞榮營醫萬與兩衛黑黃"
)
_BIG5_COMMON = 0xC6
"""Largest lead byte of Big5's first level."""
# Words of every Chinese sentence that Japanese writes with kana.
_CHINESE = frozenset("這这是很在她它你們们了着著吗嗎吧呢")


def scripts_of(text: str) -> frozenset[str]:
    """The scripts of the letters of a text, by the first words of their Unicode names."""
    letters = {one for one in unicodedata.normalize("NFKC", text) if one.isalpha()}
    names = (
        unicodedata.name(letter, "") for letter in letters if unicodedata.category(letter) != "Lm"
    )
    return frozenset(name.partition(" ")[0] for name in names) - {""}


def uses(language: str, scripts: Iterable[str]) -> bool:
    """Whether the language (a primary tag) is written in one of the scripts."""
    return any(
        language in _LANGUAGES.get(script, "").split()
        or (script == "LATIN" and language not in _NAMED)
        for script in scripts
    )


def is_han(scripts: frozenset[str]) -> bool:
    """Whether a text has Chinese characters and no letters besides them."""
    return scripts == {_HAN}


def han_language(text: str) -> str | None:
    """``zh`` or ``ja`` for a text of Chinese characters alone; None where it may be either.

    Half of the characters belong to both languages. What tells them apart is which national
    character sets hold a character: Japan's has no simplified form of China, and China's have none
    of Japan. An old form or a word such as "這" speaks for Chinese. So does "的" where nothing
    speaks for Japanese, which has it in "伝統的".
    """
    votes = {"zh": 0, "ja": 0}
    for character in text:
        if character.isalpha():
            in_japan = _holds("cp932", character)
            in_china = _holds("gb2312", character) or _is_common_in_taiwan(character)
            votes["zh"] += in_china and not in_japan
            votes["ja"] += in_japan and not in_china
            votes["ja"] += character == "々"
            votes["zh"] += character in _OLD_FORMS or character in _CHINESE
    if votes["zh"] == votes["ja"]:
        return "zh" if "的" in text and not votes["ja"] else None
    return max(votes, key=lambda language: votes[language])


def _is_common_in_taiwan(character: str) -> bool:
    """Whether Big5 holds it in its first level; the second has rare forms, some of Japan's too."""
    return _holds("big5", character) and character.encode("big5")[0] <= _BIG5_COMMON


@cache
def _holds(codec: str, character: str) -> bool:
    try:
        character.encode(codec)
    except UnicodeEncodeError:
        return False
    return True
