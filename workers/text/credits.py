# ruff: noqa: RUF001, RUF002  # letters of many scripts are what this is about
"""Finds credits of photographers and agencies: "Photo by Anna Schmidt", "图片来源：新华社"."""

from __future__ import annotations

import re

_IMAGE = (
    r"photo(?:graph|graphy|graphed)?s?|images?|pictures?|pics?|foto(?:grafia|graf\u00eda)?s?|"
    r"bild(?:er)?|illustrations?|imagen|immagine|imagem|artwork|portrait"
)
# "by" in the languages where it names a maker; "von", "de" and "av" also begin a description.
_BY = (
    r"by|par|por|door|oleh|(?:taken|made|created|shot|provided|generated|rendered) by"
    r"|(?:generated|created) with"
)
# A word of a name: it begins with an upper-case letter, or is a particle inside a name.
_NAME = (
    r"(?:@[\w.]+|[\w-]{1,40}\.(?:com|net|org|io|de|fr|co\.uk)\b|"
    r"(?:[^\W\d_a-z\u00df-\u00f6\u00f8-\u00ff\u0430-\u045f\u03ac-\u03ce])[\w.'\u2019-]*)"
)
_LINK = (
    r"(?:de|da|del|della|di|do|dos|du|van|von|der|den|la|le|bin|al|y|e|&|and|for|/|via|on|at|für|"
    r"pour|para)"
)
_NAMES = rf"{_NAME}(?:[ ,]+(?:{_LINK}[ ]+){{0,3}}{_NAME}|[ ]*/[ ]*{_NAME}|[ ]+\d{{4}}){{0,7}}"
# A place may stand after "by" too: "Picture by Lake Como".
_PLACE = (
    r"(?!(?:Lake|River|Mount|Mt|Sea|Bay|Beach|Park|Bridge|Castle|Tower|The|A|An|My|Our|Night|Day)"
    r"\b)"
)
_MAKER = rf"(?i:(?:{_IMAGE})\s+(?:{_BY}))\s+{_PLACE}{_NAMES}"
_MADE_BY = re.compile(rf"{_MAKER}\W*")
_SOURCE = (
    r"(?:photo|image|picture|foto|bild)?\s?(?:credits?|courtesy|copyright)|source|image source|"
    r"crédits?(?: photo)?s?|créditos?|crédito de la (?:foto|imagen)|fuente|fonte|crediti|"
    r"bildquelle|bildnachweis|bildrechte|fotonachweis|fotocredit|quelle|fotobron|beeld|bildkälla|"
    r"fotograf|źródło|fot|autor zdjęcia|zdroj|autor fotografie|kaynak|fotoğraf kaynağı|nguồn|"
    r"nguồn ảnh|ảnh nguồn|sumber|sumber foto|источник(?: фото)?|автор фото|фото автора|"
    r"джерело(?: фото)?|автор світлини|πηγή(?: φωτογραφίας)?|φωτογράφος|צילום|קרדיט|מקור|"
    r"مصدر الصورة|المصدر|تصوير|منبع عکس|منبع|عکاس|फोटो साभार|फोटो क्रेडिट|साभार|स्रोत|ภาพจาก|"
    r"ที่มา|ที่มาภาพ|เครดิตภาพ|사진 ?제공|사진 ?출처|출처|画像提供|写真提供|出典|画像出典|撮影|"
    r"图片来源|圖片來源|图源|来源|來源|摄影|攝影|图片版权|版权"
)
_NAMED = re.compile(rf"(?:{_SOURCE})\s*[:：=]\s*\S(?:[^\s]*\s+){{0,5}}\S*", re.IGNORECASE)
_COURTESY = re.compile(
    rf"(?i:(?:(?:{_IMAGE})\s+)?courtesy\s+of)\s+(?:the\s+(?:\w+\s*){{1,4}}|{_NAMES})\W*"
)
_BARE = re.compile(
    rf"(?i:(?:{_IMAGE})\s+(?:credits?|courtesy|copyright))(?:\s*[-–—])?\s+{_NAMES}\W*"
)
_RIGHTS = re.compile(
    rf"(?i:copyright)\s+(?:(?i:by)\s+{_NAMES}|(?:(?:©|\(c\))\s*)?\d{{4}}.{{0,60}}|(?:©|\(c\)).{{0,60}})"
    rf"|(?:(?i:{_IMAGE})\s+)?©\s*(?:\d{{4}}.{{0,60}}|(?:(?i:by)\s+)?{_NAMES}\W*|\S{{1,30}})"
    rf"|(?i:all rights reserved)(?:\W+(?:(?i:by|to|for)\s+)?{_NAMES}\W*|\W+\d{{4}}.{{0,40}}|\W*)"
)
_SIGNED = re.compile(
    rf"(?:[📷📸]\s*:?\s*(?i:by\s+)?|(?i:fot|phot|ph)\.\s*){_NAMES}\W*|@[\w.]{{2,30}}"
)
_LEAD = re.compile(rf"{_MAKER}\s*[:|–—]\s+(?=(?:\S+\s+){{2}}\S)")
_AGENCIES = (
    r"(?:afp|ap|reuters|dpa|epa|efe|ansa|lusa|pap|čtk|anp|tt|ntb|mti|pa|aa|antara|imago|"
    r"picture alliance|getty(?: images)?|shutterstock|i?stock(?:photo)?|alamy|adobe stock|"
    r"unsplash|pexels|pixabay|freepik|flickr|instagram|facebook|twitter|pinterest|google|"
    r"500px|behance|deviantart|dribbble|"
    r"wikimedia(?: commons)?|wikipedia|nasa|esa|bloomberg|xinhua|yonhap|kyodo|lehtikuva|tass|тасс|"
    r"риа новости|интерфакс|укринформ|укрінформ|рейтерс|新华社|新華社|中新社|中央社|视觉中国|"
    r"東京新聞|共同通信(?:社)?|時事通信|朝日新聞(?:社)?|読売新聞|ロイター|연합뉴스|뉴시스|뉴스1|"
    r"رويترز|رویترز|ایسنا|ایرنا|रॉयटर्स|एएनआई|पीटीआई|רויטרס)"
)
_OF_AGENCY = (
    rf"(?:{_IMAGE}|사진|写真|图片|圖片|照片|фото|светлина|φωτ\w*|ภาพ|(?:ال)?صورة|تصویر|عکس|צילום|ảnh|kuva"
    r"|zdjęcie|fotoğraf|फोटो|फ़ोटो|तस्वीर)\s*[:：=]\s*"
)
_AGENCY = re.compile(
    rf"{_OF_AGENCY}(?:[^:：]{{0,40}}[/,]\s*)?{_AGENCIES}\W*",
    re.IGNORECASE,
)
_SLASHED = re.compile(
    rf"\(?(?:[^/／:.!?]{{1,40}}[/／])?{_AGENCIES}(?: photo| wire)?(?:[/／][^/／:.!?]{{1,40}})?\)?",
    re.IGNORECASE,
)
"""An agency and a name with a slash between: "REUTERS/Ann Lee", "图/新华社"."""
_FOUND_AT = re.compile(
    rf"(?:{_IMAGE})\s+(?:(?:via|from|on)|(?:by|de|di|von|da|van|av|af)\s+\S.{{0,40}}\s"
    rf"(?:on|en|auf|sur|su|em|no|na|op|på|via))\s+{_AGENCIES}(?:[/ ].{{0,30}})?\W*",
    re.IGNORECASE,
)
"""An agency or a site where the image comes from: "Foto de Ana Pérez en Unsplash"."""
_AGENCY_LEAD = re.compile(
    rf"{_OF_AGENCY}(?:[^\W\d_][^:：/.]{{0,30}}/\s*)?{_AGENCIES}(?:\s*[|–—.-]\s*|\s+)"
    r"(?=(?:\S+\s+)\S)",
    re.IGNORECASE,
)
"""The same before a description: "Foto: dpa – Ein Radfahrer im Regen"."""
_TRAIL = re.compile(
    rf"\s*(?:©|\((?i:c)\))\s*(?:\d{{4}}\s+)?{_NAMES}\W*$"
    rf"|\s*[,;–—-]\s*(?i:fot|phot|foto|photo)\.\s*{_NAMES}\W*$"
    rf"|\s+by\s+{_NAMES}\s+on\s+(?i:{_AGENCIES})\W*$"
)
"""A credit behind a description without a separator: "Un chat © AFP", "by Ann Lee on 500px"."""
_FORMS = (_AGENCY, _MADE_BY, _COURTESY, _BARE, _RIGHTS, _FOUND_AT, _SIGNED)
_LOWER = 4
"""Most words in lower case of a named source: "Fuente: plaza con una fuente de piedra" is none."""
_MOST = 120


def is_credit(part: str) -> bool:
    """Whether a part of a text only names who made the image or owns it."""
    if len(part) > _MOST:
        return False
    if _NAMED.fullmatch(part):
        return sum(word[0].islower() for word in part.split()) <= _LOWER
    return any(form.fullmatch(part) for form in _FORMS) or _is_slashed(part)


def is_only_credit(text: str) -> bool:
    """Whether a whole text is a credit that begins like a description, such as "Foto: dpa"."""
    if len(text) > _MOST:
        return False
    return any(form.fullmatch(text) for form in (_AGENCY, _MADE_BY, _SIGNED)) or _is_slashed(text)


def _is_slashed(text: str) -> bool:
    return ("/" in text or "／" in text) and _SLASHED.fullmatch(text) is not None


def without_credit(text: str) -> str:
    """The text without a credit before or behind a description."""
    for lead in (_LEAD, _AGENCY_LEAD):
        text = lead.sub("", text, count=1) if lead.match(text) else text
    found = _TRAIL.search(text, max(0, len(text) - _MOST))
    return text[: found.start()] if found else text
