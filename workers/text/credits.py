# ruff: noqa: RUF001, RUF002  # letters of many scripts are what this is about
"""Finds credits of photographers and agencies: "Photo by Anna Schmidt", "图片来源：新华社"."""

from __future__ import annotations

import re

_IMAGE = (
    r"photo(?:graph|graphy|graphed)?s?|images?|pictures?|pics?|foto(?:grafia|graf\u00eda)?s?|"
    r"bild(?:er)?|"
    r"illustrations?|imagen|immagine|imagem|artwork|portrait"
)
# "by" in the languages where it names a maker; "von", "de" and "av" also begin a description.
_BY = r"by|par|por|door|oleh|taken by|made by|created by|shot by|provided by"
# A word of a name: it begins with an upper-case letter, or is a particle inside a name.
_NAME = (
    r"(?:@[\w.]+|[\w-]{1,40}\.(?:com|net|org|io|de|fr|co\.uk)\b|"
    r"(?:[^\W\d_a-z\u00df-\u00f6\u00f8-\u00ff\u0430-\u045f\u03ac-\u03ce])[\w.'\u2019-]*)"
)
_LINK = (
    r"(?:de|da|del|della|di|do|dos|du|van|von|der|den|la|le|bin|al|y|e|&|and|for|/|via|on|at|"
    r"f\u00fcr|pour|para)"
)
_NAMES = rf"{_NAME}(?:[ ,]+(?:{_LINK}[ ]+){{0,3}}{_NAME}|[ ]*/[ ]*{_NAME}|[ ]+\d{{4}}){{0,7}}"
# A place may stand after "by" too: "Picture by Lake Como".
_PLACE = (
    r"(?!(?:Lake|River|Mount|Mt|Sea|Bay|Beach|Park|Bridge|Castle|Tower|The|A|An|My|Our|"
    r"Night|Day)\b)"
)
_MADE_BY = re.compile(rf"(?i:(?:{_IMAGE})\s+(?:{_BY}))\s+{_PLACE}{_NAMES}\W*")
_SOURCE = (
    r"(?:photo|image|picture|foto|bild)?\s?(?:credits?|courtesy|copyright)|source|image source|"
    r"cr\u00e9dits?(?: photo)?s?|cr\u00e9ditos?|cr\u00e9dito de la (?:foto|imagen)|fuente|fonte|"
    r"crediti|"
    r"bildquelle|bildnachweis|bildrechte|fotonachweis|fotocredit|quelle|fotobron|beeld|"
    r"bildk\u00e4lla|fotograf|\u017ar\u00f3d\u0142o|fot|autor zdj\u0119cia|zdroj|"
    r"autor fotografie|kaynak|"
    r"foto\u011fraf kayna\u011f\u0131|ngu\u1ed3n|ngu\u1ed3n \u1ea3nh|\u1ea3nh ngu\u1ed3n|sumber|"
    r"sumber foto|"
    r"источник(?: фото)?|автор фото|фото автора|джерело(?: фото)?|автор світлини|"
    r"πηγή(?: φωτογραφίας)?|"
    r"φωτογράφος|צילום|קרדיט|מקור|مصدر الصورة|المصدر|تصوير|منبع عکس|منبع|عکاس|"
    r"फोटो साभार|फोटो क्रेडिट|साभार|स्रोत|ภาพจาก|ที่มา|ที่มาภาพ|เครดิตภาพ|사진 ?제공|사진 ?출처|출처|"
    r"画像提供|写真提供|出典|画像出典|撮影|图片来源|圖片來源|图源|来源|來源|摄影|攝影|图片版权|版权"
)
_NAMED = re.compile(rf"(?:{_SOURCE})\s*[:：=]\s*\S(?:[^\s]*\s+){{0,5}}\S*", re.IGNORECASE)
_COURTESY = re.compile(
    rf"(?i:(?:(?:{_IMAGE})\s+)?courtesy\s+of)\s+(?:the\s+(?:\w+\s*){{1,4}}|{_NAMES})\W*"
)
_BARE = re.compile(rf"(?i:(?:{_IMAGE})\s+(?:credits?|courtesy|copyright))\s+{_NAMES}\W*")
_RIGHTS = re.compile(
    rf"(?i:copyright)\s+(?:(?i:by)\s+{_NAMES}|(?:(?:\u00a9|\(c\))\s*)?\d{{4}}.{{0,60}}|(?:\u00a9|"
    rf"\(c\)).{{0,60}})"
    rf"|\u00a9\s*(?:\d{{4}}.{{0,60}}|(?:(?i:by)\s+)?{_NAMES}\W*|\S{{1,30}})"
    r"|(?i:all rights reserved).{0,40}"
)
_LEAD = re.compile(
    rf"(?:(?i:(?:{_IMAGE})\s+(?:{_BY}))\s+{_PLACE}{_NAMES})\s*[:|"
    rf"\u2013\u2014]\s+(?=(?:\S+\s+){{2}}\S)"
)
_AGENCY = re.compile(
    rf"(?:{_IMAGE}|사진|写真|图片|圖片|照片|фото|светлина|φωτ\w*|ภาพ|صورة|تصویر|عکس|צילום|ảnh)\s*[:：=]\s*"
    r"(?:[^:：]{0,40}[/,]\s*)?"
    r"(?:afp|ap|reuters|dpa|epa|efe|ansa|lusa|pap|čtk|anp|tt|ntb|mti|imago|picture alliance|"
    r"getty(?: images)?|"
    r"shutterstock|istock|alamy|adobe stock|unsplash|pexels|pixabay|flickr|"
    r"wikimedia(?: commons)?|nasa|esa|"
    r"bloomberg|xinhua|yonhap|kyodo|tass|тасс|риа новости|интерфакс|укринформ|укрінформ|рейтерс|"
    r"新华社|新華社|中新社|视觉中国|東京新聞|共同通信(?:社)?|時事通信|朝日新聞(?:社)?|読売新聞|ロイター|"
    r"연합뉴스|뉴시스|뉴스1|رويترز|رویترز|ایسنا|ایرنا|रॉयटर्स|एएनआई|पीटीआई|רויטרס)\W*",
    re.IGNORECASE,
)
_FORMS = (_AGENCY, _MADE_BY, _NAMED, _COURTESY, _BARE, _RIGHTS)


def is_credit(part: str) -> bool:
    """Whether a part of a text only names who made the image or owns it."""
    return len(part) <= _MOST and any(form.fullmatch(part) for form in _FORMS)


_MOST = 120


def is_only_credit(text: str) -> bool:
    """Whether a whole text is a credit that begins like a description, such as "Foto: dpa"."""
    return len(text) <= _MOST and _AGENCY.fullmatch(text) is not None


def without_credit(text: str) -> str:
    """The text without a credit before a colon and a description."""
    return _LEAD.sub("", text, count=1) if _LEAD.match(text) else text
