# ruff: noqa: RUF001, RUF002  # letters of many scripts are what this is about
"""Finds credits of photographers and agencies: "Photo by Anna Schmidt", "图片来源：新华社"."""

from __future__ import annotations

import re

from kaption.workers.text.agencies import AGENCIES, is_agency_credit, is_lone_agency, without_agency
from kaption.workers.text.names import is_name

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
    r"(?:photo|image|picture|pic|foto|bild)?\s?(?:credits?|courtesy|copyright)|source|image source|"
    r"crédits?(?: photo)?s?|créditos?|crédito de la (?:foto|imagen)|fuente|fonte|crediti|"
    r"bildquelle|bildnachweis|bildrechte|fotonachweis|fotocredit|quelle|fotobron|bron|beeld|bildkälla|"
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
_AND_TEXT = r"(?:text|words|texte|texto|testo|tekst|текст)"
_AND = r"\s*(?:and|und|et|y|e|i|och|og|en|и|&|/|\+)\s*"
_LABEL = (
    rf"(?:{_AND_TEXT}{_AND})?"
    rf"(?:{_IMAGE}|photographie|fotograf|zdjęcie|fotka|obraz(?:ek)?|obrázek|slika|снимка|снимок|світлина|зображення"
    r"|изображение|фото(?:графия)?|светлина|φωτ\w*|εικόνα|fotoğraf|görsel|resim|gambar|kuvat?|kép|fotó|fénykép|bilde|billede"
    r"|afbeelding|imatge|ảnh|hình ảnh|(?:ال)?صورة|تصویر|عکس|תמונה|צילום|फोटो|फ़ोटो|तस्वीर|चित्र"
    r"|提供|ภาพ(?:ถ่าย)?|รูปภาพ|사진|이미지|写真|画像|图片|圖片|照片|图|圖|相片)"
)
_OF_AGENCY = rf"{_LABEL}(?:{_AND}{_AND_TEXT})?\s*[:：=＝]\s*"
_AGENCY = re.compile(
    rf"{_OF_AGENCY}(?:[^:：]{{0,40}}[/,]\s*)?{AGENCIES}\W*",
    re.IGNORECASE,
)
_FOUND_AT = re.compile(
    rf"ภาพ(?:จาก|โดย)\s*{AGENCIES}\W*|(?:{_IMAGE})\s+(?:(?:via|from|on)|(?:by|de|di|von|da|van|av|af)\s+\S.{{0,40}}\s"
    rf"(?:on|en|auf|sur|su|em|no|na|op|på|via))\s+{AGENCIES}(?:[/ ].{{0,30}})?\W*",
    re.IGNORECASE,
)
"""An agency or a site where the image comes from: "Foto de Ana Pérez en Unsplash"."""
_AGENCY_LEAD = re.compile(
    rf"{_OF_AGENCY}(?:[^\W\d_][^:：/.]{{0,30}}/\s*)?{AGENCIES}(?:\s*[|–—.-]\s*|\s+(?!(?-i:[a-z])"
    r"|(?:cent(?:er|re)|building|house|office|museum|villa|tower|logo|headquarters)\b))(?=(?:\S+\s+)\S)",
    re.IGNORECASE,
)
"""The same before a description: "Foto: dpa – Ein Radfahrer im Regen"."""
_TRAIL = re.compile(
    rf"\s*(?:©|\((?i:c)\))\s*(?:\d{{4}}\s+)?{_NAMES}\W*$"
    rf"|\s*[,;/–—-]\s*(?i:fot|phot|foto|photo)\.\s*{_NAMES}\W*$"
    rf"|\s+by\s+{_NAMES}\s+on\s+(?i:{AGENCIES})\W*$"
)
"""A credit behind a description without a separator: "Un chat © AFP", "by Ann Lee on 500px"."""
_LABELLED = re.compile(_OF_AGENCY, re.IGNORECASE)
_SIGN = re.compile(r"\s*(?:©|\(c\))\s*", re.IGNORECASE)
_ANY_LABEL = re.compile(
    rf"(?<![\w-]){_OF_AGENCY}|\s*©\s*(?:(?:19|20)\d\d\s(?=\s*[^\W\d_]))?", re.IGNORECASE
)
_OWNERS = re.compile(
    rf"{AGENCIES}(?:\.com| photos?| wire| images)?|@[\w.]{{2,30}}"
    r"|(?:www\.)?[\w-]{2,40}\.(?:com|net|org|io|de|fr|es|it|at|ch|nl|pl|ru|ua|cn|co\.uk)"
    r"|(?-i:(?:[A-ZÀ-Þ][\w&'’.-]*\s){1,4}"
    r"(?:GmbH|AG|KG|Ltd\.?|Inc\.?|LLC|Corp\.?|S\.?A\.?|e\. ?V\.))|dpa-\w{4,20}"
    r"|\w{0,30}archiv(?: [^\W\d]\w*){0,3}"
    r"|privat|private?|privé|archives?|archivo|archivio|arquivo|archivbild|presse|file(?: photo)?"
    r"|hand-?out|supplied|submitted|contributed|provided|courtesy|staff|divulgação|reprodução"
    r"|istimewa|dok(?:umentasi)?\.? [\w ]{1,30}|пресс-служба(?: [\w «»]{1,40})?|materiały prasowe"
    r"|mat\. pras\.|stadt \w{2,30}|полиция|police|polizei|policía|reproducción"
    r"|internet|(?:the )?web|网络|網路|网上|インターネット|인터넷"
    r"|cortesía|cedida|архив|из архива|личный архив|d\.?r\.?",
    re.IGNORECASE,
)
"""Who owns an image, besides people."""
_ADDED = re.compile(
    r"(?:©|\(c\))?\s*\d{4}(?:\s*[-–]\s*\d{2,4})?|cc[ -](?:by|0)[\w. -]{0,20}"
    r"|all rights reserved|mit genehmigung",
    re.IGNORECASE,
)
_ORGANISATION = re.compile(
    r"(?:the\s)?(?:[^\W\d_a-zß-öø-ÿа-ї][\w&'’.-]*(?:\s+|\Z)(?:(?:of|the|de|der|für|for)\s+)?){1,4}"
)
_ANY_AGENCY = re.compile(AGENCIES, re.IGNORECASE)
_BETWEEN = re.compile(
    r"(\s*[/／,;|()]\s*|\s+[–—-]\s+|\s+(?:via|for|für|pour|para|per|and|und|et|y|e|i|och|og|en|ve|и|та"
    r"|και|&|\+)\s+|\s*(?=©))"
)
_LOOSE = ("|", "-", "–", "—")
_AFTER_LEAD = re.compile(r"\s*[|–—:]\s+|\s+-\s+|(?<![\s.]\w)\.\s+")
_LABEL_CHARS = 20
_NAMED_LABEL = re.compile(rf"(?:{_SOURCE})\s*[:：=]\s*\Z", re.IGNORECASE)
_OWNERS_MOST = 6
_TRIED = 6
"""Separators behind a label at which its credit may end."""
_CHINESE = re.compile(
    r"(?:照片|图片|圖片|图|圖)由\S{1,8}(?:拍摄|拍攝|提供|供图|供圖)\W*|[图圖][/／]\s?[\u3400-\u9fff]{2,4}\W*"
    r"|(?:受访者|受訪者|作者|网友|網友|本人|企业|主办方)(?:供图|供圖|提供)\W*"
)
"""Chinese credits without a label: "照片由张伟拍摄", "图/张伟"."""
_FORMS = (_CHINESE, _AGENCY, _MADE_BY, _COURTESY, _BARE, _RIGHTS, _FOUND_AT, _SIGNED)
_LOWER = 4
"""Most words in lower case of a named source: "Fuente: plaza con una fuente de piedra" is none."""
_MOST = 120


def is_credit(part: str) -> bool:
    """Whether a part of a text only names who made the image or owns it."""
    if len(part) > _MOST:
        return False
    if _NAMED.fullmatch(part):
        return sum(word[0].islower() for word in part.split()) <= _LOWER
    return (
        any(form.fullmatch(part) for form in _FORMS) or is_agency_credit(part) or _is_labelled(part)
    )


def is_only_credit(text: str) -> bool:
    """Whether a whole text is a credit that begins like a description, such as "Foto: dpa"."""
    if len(text) > _MOST:
        return False
    forms = (_CHINESE, _AGENCY, _MADE_BY, _SIGNED, _RIGHTS)
    return (
        any(form.fullmatch(text) for form in forms)
        or is_agency_credit(text)
        or is_lone_agency(text)
        or _is_labelled(text)
    )


def _is_labelled(text: str) -> bool:
    """Whether behind "Photo:" are only owners: "Photo: Anna Schmidt / Getty Images, 2020"."""
    label = _LABELLED.match(text) or _SIGN.match(text)
    return label is not None and _are_owners(text[label.end() :])


def _are_owners(text: str) -> bool:
    """Whether each part of a text is a person, an agency, or what may stand behind one.

    The rule cannot know whether "Photo: Ann Lee" shows her. It takes a name alone for that of the
    maker. Words that do not begin like a name stay: "Photo: Red Fox". Behind a dash or a bar is a
    description, unless there is an agency on one side: "Photo: Ann Lee - EFE".
    """
    split = _BETWEEN.split(text.strip(" .()[]（）"))
    pairs = zip(["/", *split[1::2]], split[::2], strict=True)
    found = [(mark.strip(), part) for mark, part in pairs if part and part != "©"]
    plain = [part.lstrip("© ").strip() for _, part in found]
    known = [bool(_OWNERS.fullmatch(part)) or is_name(part) for part in plain]
    agency = [bool(_ANY_AGENCY.fullmatch(part)) for part in plain]
    # "Hans und Maria Müller"
    known += [False]
    return (
        0 < len(plain) <= _OWNERS_MOST
        and any(known)
        and all(
            (known[at] and (mark not in _LOOSE or agency[at] or agency[at - 1]))
            or (mark not in _LOOSE and _may_follow(part, at))
            or (known[at + 1] and is_name(f"{part} {plain[at + 1].split()[-1]}"))
            for at, (mark, part) in enumerate(found)
        )
    )


def _may_follow(part: str, at: int) -> bool:
    """Whether it may stand behind a person or an agency: a year, a licence, a firm."""
    return bool(_ADDED.fullmatch(part) or (at > 0 and _ORGANISATION.fullmatch(part)))


def without_credit(text: str) -> str:
    """The text without a credit before or behind a description."""
    for lead in (_LEAD, _AGENCY_LEAD):
        text = lead.sub("", text, count=1) if lead.match(text) else text
    text = _without_lead(text)
    found = _TRAIL.search(text, max(0, len(text) - _MOST))
    text = text[: found.start()] if found else text
    for label in _ANY_LABEL.finditer(text, max(0, len(text) - _MOST)):
        longer = _NAMED_LABEL.search(text, max(0, label.start() - _LABEL_CHARS), label.end())
        if label.start() and longer is None and _are_owners(text[label.end() :]):
            return text[: label.start()].rstrip(" -–—|,([/／")
    return without_agency(text)


def _without_lead(text: str) -> str:
    label = _LABELLED.match(text)
    if label is None:
        return text
    tried = zip(range(_TRIED), _AFTER_LEAD.finditer(text, label.end(), _MOST), strict=False)
    ends = [each for _, each in tried if _are_owners(text[label.end() : each.start()])]
    return text[ends[-1].end() :] if ends else text
