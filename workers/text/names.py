# ruff: noqa: RUF001  # letters of many scripts are what this is about
"""Tells names of people from other words that begin with an upper-case letter."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_PARTICLES = frozenset(
    ["de", "da", "do", "dos", "das", "del", "della", "di", "du", "la", "le", "van", "von", "der"]
).union(["den", "ten", "ter", "zu", "zum", "vom", "bin", "ibn", "al", "el", "y", "e", "af", "av"])
_TITLES = frozenset(["dr", "dr.", "prof", "prof.", "mr", "mr.", "mrs", "mrs.", "ms", "ms.", "sir"])
_MOST = 5
"""Words of a name."""
_UPPER = re.compile(r"[^\W\d_a-z\u00df-\u00f6\u00f8-\u00ff\u0430-\u045f\u03ac-\u03ce][\w'’.-]*\Z")
_INITIALS = re.compile(r"(?:[^\W\d_]\.-?){1,4}\Z")
_PLACES = frozenset(["U.S.", "U.K.", "D.C.", "L.A.", "U.N."])
_COMPOUNDS = (
    *("straße", "strasse", "platz", "brücke", "kirche", "haus", "schule", "denkmal", "bibliothek"),
    *("museum", "strasse", "halle", "institut", "klinik", "stadion", "turm", "garten", "gatan"),
    *("vägen", "kyrkan", "straat", "plein", "kerk", "katu", "kirkko"),
)
_CASELESS = re.compile("[\u0590-\u08ff\u0900-\u0dff\u0e00-\u0eff]")
_CHINESE = re.compile(
    "[王李张張刘劉陈陳杨楊赵趙吴吳徐孙孫朱郭罗羅郑鄭谢謝韩韓冯馮邓鄧许許曹彭曾萧蕭蔡潘袁吕呂卢盧丁魏薛汪谭譚]"
    "[伟偉芳娜敏静靜丽麗强強磊军軍洋勇艳艷杰傑娟涛濤明超秀霞平刚剛桂英华華玉兰蘭红紅健文建国國志晓曉小宇浩鹏鵬飞飛俊峰婷雪梅琳博凯凱斌波辉輝"
    "家欣怡佳思雨子轩軒梓涵诗詩美春生德成永福]{1,2}\\Z"
)
_JAPANESE = re.compile(
    "(?:佐藤|鈴木|高橋|田中|渡辺|渡邉|伊藤|山本|中村|小林|加藤|吉田|山田|佐々木|松本|井上|木村|斎藤|斉藤|清水|山崎|池田|橋本|阿部|前田|藤田"
    "|後藤|岡田|長谷川|村上|近藤|石井|坂本|遠藤|青木|藤井|西村|福田|太田|三浦|藤原|岡本|松田|中川|中野|原田|小野|田村|竹内|金子|和田|中山)"
    "[ \u3000]?(?![県府市区町村駅寺城山川島港橋湖]\\Z)"
    "(?:[健亮翔学誠隆豊薫恵愛進勝清実修純徹剛聡武渉悟蓮葵]|[^\\W\\d_ァ-ヿ]{2,3})(?<![県府市区町村駅寺城港橋湖])\\Z"
)
_KOREAN = re.compile("[가-힣]{2,4} ?(?:기자|작가|사진기자|특파원|객원기자)\\Z")
"""Korean names are told by the word for their profession: "고양이" is a cat."""


def is_name(text: str) -> bool:
    """Whether a text is the name of one person, and of nothing that is called after people.

    A name begins with an initial, or with a word of names.toml, and has a second word: one name
    alone says too little. Chinese, Japanese and Korean names have no spaces.
    """
    if _CHINESE.match(text) or _JAPANESE.match(text) or _KOREAN.match(text):
        return True
    words = text.split()
    if words and words[0].casefold() in _TITLES:
        words = words[1:]
    if not 1 <= len(words) <= _MOST:
        return False
    if len(words) == 1:  # initials without a space after them
        head, dot, last = words[0].rpartition(".")
        return bool(dot and _INITIALS.match(head + dot) and len(last) > 1 and _UPPER.match(last))
    first, *others = words
    if _CASELESS.search(first):
        return len(words) <= 3 and first in _table().first
    if others[-1].casefold() in _PARTICLES or any(map(_is_thing, words)):
        return False
    if not all(_UPPER.match(word) or word in _PARTICLES for word in words):
        return False
    if _INITIALS.match(first) and first not in _PLACES:
        return any(len(word.strip(".")) > 1 for word in others)
    return first.casefold() in _table().first or first.casefold().split("-")[0] in _table().first


def may_be_name(text: str) -> bool:
    """Whether a text beside an agency is taken for a person, also of a name that is not listed."""
    words = [word for word in text.split() if word.casefold() not in _PARTICLES]
    if text.lower() == text.upper():  # no case tells a name
        return len(words) <= 3 and len(text) <= (20 if _CASELESS.search(text) else 5)
    upper = 2 <= len(words) <= _MOST and all(map(_UPPER.match, words))
    return upper and not any(map(_is_thing, words))


def _is_thing(word: str) -> bool:
    plain = word.casefold()
    return plain in _table().things or (len(plain) > 8 and plain.endswith(_COMPOUNDS))


@dataclass(frozen=True, slots=True)
class _NameWords:
    first: frozenset[str]
    """Words that names begin with."""
    things: frozenset[str]
    """What is called after people: "Charles Bridge", "Anna Amalia Bibliothek"."""


@cache
def _table() -> _NameWords:
    read = tomllib.loads(files("kaption.workers.text").joinpath("names.toml").read_text("utf-8"))

    def words(kind: str) -> frozenset[str]:
        return frozenset(
            word.casefold() for listed in read[kind].values() for word in listed.split()
        )

    return _NameWords(words("first"), words("things"))
