# ruff: noqa: RUF001  # letters of many scripts are what this is about
"""Removes phrases that pages put around every image: "click to enlarge", a shop's name, credits."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from kaption.workers.text.automatic import without_automatic
from kaption.workers.text.credits import is_credit, is_only_credit, without_credit
from kaption.workers.text.page_words import is_page_text

_OUTER = " \t\u3002\uff01.,;:!?*\"'()[]{}<>|/\\_~=+\u2013\u2014\u2022\u00b7\u2026\u2122\u00ae-"
_SEPARATOR = re.compile(
    r"(\s*[|\uff5c\u2022\u00b7;\uff1b]\s*|\s+[\u2013\u2014~*/-]+\s+|"
    r"(?:(?<!\b[A-Z])\.|[,!?\u060c\u061b\u061f\u0964])(?=\s)\s*"
    # Chinese and Japanese have spaces between sentences and not between words. A name may have one.
    r"|(?<=[\u3040-\u30ff\u3400-\u9fff])\s+(?=[\u3040-\u30ff\u3400-\u9fff]{4})"
    r"|[\uff0c\u3001\u3002\uff01\uff1f]\s*|\s*[()\[\]\uff08\uff09\u3010\u3011]\s*)"
)
_WEAK = frozenset(",/\uff0c\u3001\u060c")
"""Separators of lists. A single word in a list may be what the image shows, as in "logos of
Facebook, Twitter, Instagram", so it is kept."""
_SLASHES = ("/", "\uff0f")
_KEPT = frozenset(".!?)]\u3002\uff01\uff1f\uff09\u3011\u0964\u061f")
"""Separators that belong to the part before them: they stay when the part after them is removed."""
_COMMA = "[,\uff0c\u060c]"
_DASHES = " |-/~*\u2013\u2014\uff5c"
_CLOSING = {"(": ")", "[": "]", "\uff08": "\uff09", "\u3010": "\u3011"}
_IN_BRACKETS = re.compile(r"\s*[\[({（【]([^\[\](){}（）【】]{3,})[\])}）】]\W*")
_DESCRIBED = re.compile(
    r"\W*(?:(?:image|photo|picture|video|gif) )?id\s*[:：]\s*(?P<text>.+?)\s*\bend (?:image )?id\W*"
    r"|(?P<before>.+?)\s*\bend (?:of )?(?:image |visual )?description\W*",
    re.IGNORECASE | re.DOTALL,
)
"""How people mark a description in a post: "[ID: A red mug. End ID]"."""
_DOMAIN = re.compile(
    r"(?:[\w-]{1,63}\.){1,3}(?:com|net|org|info|shop|store|co|io|tv|biz|app|eu|us|uk|au|ca|de|at|ch|"
    r"fr|be|es|it|pt|nl|se|pl|cz|gr|tr|ru|ua|cn|jp|kr|in|br|mx)",
    re.I,
)
# Words that need a noun after them. A phrase behind one is part of a description ("holding a stock
# photo"); the same phrase behind a noun is boilerplate ("red vase stock photo").
_ENGLISH = ["a", "an", "the", "this", "that", "my", "your", "our", "their", "his", "her", "its"]
_PREPOSITIONS = ["of", "with", "in", "on", "at", "for", "by", "from", "and", "or", "no", "as"]
_OTHERS = ["ein", "eine", "einen", "das", "der", "die", "un", "une", "le", "la", "les", "el", "una"]
_OPEN = frozenset([*_ENGLISH, *_PREPOSITIONS, *_OTHERS])
_OPENING = frozenset({"of", "for", "shows", "contain", "contener"})
"""A phrase at the start that ends in one of these words needs no colon after it."""
_IMAGES = (
    r"images?|photos?|pictures?|pic|slide|bild|foto|imagen|imagem|immagine|afbeelding|zdjęcie|obrázek"
    r"|kuva|фото|resim|görsel|fotoğraf|gambar|ảnh|hình|รูป(?:ที่)?|ภาพ(?:ที่)?|사진|이미지|写真|画像"
    r"|图片|圖片|صورة|תמונה"
)
_LABEL = re.compile(
    rf"(?<!\w)(?:{_IMAGES}|immagini|imagens|imágenes|fotka|fotografi[ae]|obraz|εικόνα|φωτογραφία"
    r"|зображення|світлина|изображение|картинка|фотография|ürün \w+|\w+bild|\w+afbeelding|صورة"
    r"|تصویر|عکس|चित्र|तस्वीर|फोटो|फ़ोटो|छवि)(?!\w)|[图圖]片|[画圖图]像|写真",
    re.IGNORECASE,
)
"""A word for an image, as in "Foto del producto: ..."."""
_OF = r"(?:of|von|de|di|van|sur|из|z|/)"
_NUMBER = (
    rf"(?:(?:{_IMAGES})\s*(?:n[°ºo]\.?|nr\.?|№|\#)?\s*\d{{1,3}}(?:\s*{_OF}\s*\d{{1,3}})?"
    r"|\d{1,3}\s+(?:of|von|sur|из)\s+\d{1,3}|第\s?\d{1,3}\s?[张張]|(?:画像|写真)?\d{1,3}\s?枚目)"
)
_COUNTED = re.compile(
    rf"(\w\W{{0,3}}?)(?:\s+[-–—:]\s+|\s*[,|(\[｜（【]\s*){_NUMBER}\W*$", re.IGNORECASE
)
"""The number of an image in a gallery: "Red vase - Image 3 of 5"."""
_ONLY_COUNTED = re.compile(rf"\W*(?:{_NUMBER}|[图圖]\s?\d{{1,3}})\W*", re.IGNORECASE)
_SHOP_WORDS = 4
"""The part after the last bar is taken for a shop's name up to this length."""
_SHOP = re.compile(
    r"(?<!\w)(?:\w{0,30}shop|shops|shopping|stores?|boutique|webshop|online|official|outlet|etsy|"
    r"ebay|amazon|shopify|walmart|aliexpress|inc\.?|ltd\.?|llc|gmbh|s\.?r\.?l\.?|blog|news|"
    r"website|homepage|photography|stock photos?|marketplace|tienda|magasin|boutique en ligne|"
    r"negozio|loja|winkel|sklep|obchod|butik|mağaza|toko|cửa hàng|магазин|интернет-магазин|"
    r"крамниця|κατάστημα|חנות|متجر|فروشگاه|दुकान)(?!\w)|[\u00ae\u2122]|(?:商城|商店|官网|官網|"
    r"旗舰店|通販|公式サイト|ショップ|쇼핑몰|스토어|ร้าน)",
    re.IGNORECASE,
)
"""Words of names of shops and sites. A part without one may be a painter's name or a translation:
"Mona Lisa | Leonardo da Vinci", "Green tea | \u7eff\u8336"."""


@dataclass(frozen=True, slots=True)
class _Phrases:
    drop: frozenset[str]
    clause: frozenset[str]
    sourced: re.Pattern[str]
    captioned: re.Pattern[str]
    lead: re.Pattern[str]
    tail: re.Pattern[str]
    site: re.Pattern[str]


def strip_boilerplate(text: str) -> str:
    """The text without boilerplate; empty where it was nothing else."""
    phrases = _phrases()
    text = _unwrapped(without_automatic(text), phrases)
    core = _core(text)
    text = phrases.captioned.sub("", text)
    if core in phrases.drop or not core or is_only_credit(text.strip()) or is_page_text(text):
        return ""
    if phrases.sourced.fullmatch(text) or _ONLY_COUNTED.fullmatch(text):
        return ""
    text = phrases.lead.sub("", without_credit(text))
    text = _without_clauses(text, phrases.clause)
    text = _COUNTED.sub(r"\1", phrases.site.sub(r"\1", _without_shop(text)))
    match = phrases.tail.search(text)
    if match and _OPEN.isdisjoint(text[: match.start()].casefold().split()[-1:]):
        text = text[: match.start()]
    return text


def _unwrapped(text: str, phrases: _Phrases) -> str:
    """The text without the brackets around it, where it names itself a description."""
    bracketed = _IN_BRACKETS.fullmatch(text)
    inner = bracketed[1] if bracketed else text
    if marked := _DESCRIBED.fullmatch(inner):
        return marked["text"] or marked["before"] or ""
    return inner if phrases.lead.match(inner) else text


def _core(text: str) -> str:
    return text.casefold().strip(_OUTER)


def _without_clauses(text: str, clauses: frozenset[str]) -> str:
    """Remove parts between separators that are only boilerplate, and the separator before each."""
    parts = _joined(_SEPARATOR.split(text))
    if len(parts) == 1:
        return "" if _is_noise(text, clauses, False) else text
    weak = [False, *(separator.strip() in _WEAK for separator in parts[1::2]), False]
    kept, bracket = "", ""
    for at, (separator, part) in enumerate(zip(["", *parts[1::2]], parts[::2], strict=True)):
        if bracket and separator.strip() == bracket:
            separator = " "
        noise = _is_noise(part, clauses, weak[at] or weak[at + 1])
        bracket = _CLOSING.get(separator.strip(), "") if noise else ""
        if noise and separator.strip() in _KEPT:
            kept += separator.rstrip()
        elif not kept.strip() and separator and not separator.strip(_DASHES):
            separator = " "  # nothing is left before it
        kept += " " if noise else separator + part
    return kept


def _joined(parts: list[str]) -> list[str]:
    """The parts, of which some are one: "AFP / J. Doe", "Kliknij, aby powiększyć"."""
    found = parts[:1]
    for separator, part in zip(parts[1::2], parts[2::2], strict=True):
        mark, both = separator.strip(), f"{found[-1]}{separator}{part}".strip()
        if (mark in _SLASHES and is_credit(both)) or (
            mark in _WEAK and is_page_text(both, whole=False)
        ):
            found[-1] += separator + part
        else:
            found += [separator, part]
    return found


def _is_noise(part: str, clauses: frozenset[str], in_list: bool) -> bool:
    core = _core(part)
    if core in clauses:
        return not in_list or " " in core or "-" in core
    return is_credit(part.strip()) or is_page_text(part, whole=False)


def _without_shop(text: str) -> str:
    """Remove a shop's name after the last bar, or a domain before a colon or at the end."""
    found = _DOMAIN.match(text)
    if found and text[found.end() :].startswith(": "):
        text = text[found.end() + 2 :]
    head, bar, name = text.rpartition("|")
    if bar and head.strip() and _is_shop(name.split()):
        return head
    parts = _SEPARATOR.split(text)
    if len(parts) > 1 and _DOMAIN.fullmatch(parts[-1].strip()):
        return "".join(parts[:-2])
    return text


def _is_shop(name: Sequence[str]) -> bool:
    """A name has capital letters, where its script has any: "Coffee shop" is a description."""
    named = 0 < len(name) <= _SHOP_WORDS and not any(word[0].islower() for word in name)
    return named and _SHOP.search(" ".join(name)) is not None


@cache
def _phrases() -> _Phrases:
    table = tomllib.loads(
        files("kaption.workers.text").joinpath("boilerplate.toml").read_text("utf-8")
    )

    def all_of(kind: str) -> frozenset[str]:
        return frozenset(
            _core(phrase) for language in table.values() for phrase in language.get(kind, ())
        )

    def any_of(phrases: Iterable[str]) -> str:
        return "|".join(re.escape(phrase) for phrase in sorted(phrases, key=len, reverse=True))

    # "Product photo: a red vase". What names no image is no lead: "Author: Ann Lee".
    said = all_of("lead")
    leads = said | set(filter(_LABEL.search, all_of("drop")))
    tails = all_of("tail")
    spaceless = {tail for tail in tails if "\u3040" <= tail[0] <= "\u9fff"}
    sources = all_of("source")
    # One word alone may begin a list: "Kaynak, dere ve orman" shows a spring.
    sure = {source for source in sources if " " in source or source >= "\u0590"}
    sourced = rf"(?:{any_of(sources)})\s*{_COMMA}\s*"
    opening = {lead for lead in said if lead.split()[-1] in _OPENING}

    return _Phrases(
        drop=all_of("drop"),
        clause=all_of("clause"),
        sourced=re.compile(rf"\W*(?:{any_of(sure)})\s*{_COMMA}.{{1,80}}", re.IGNORECASE),
        captioned=re.compile(
            rf"\A\W*(?:{sourced}.{{1,80}}?)?(?:{any_of(all_of('caption'))})\s*{_COMMA}\s*",
            re.IGNORECASE,
        ),
        lead=re.compile(
            rf"^\W*(?:(?:{any_of(leads)})\s*[:\uff1a]\s*|(?:{any_of(opening)})\s+(?=\w))",
            re.IGNORECASE,
        ),
        tail=re.compile(
            rf"(?:(?<!\w)(?:{any_of(tails)})|_?(?:{any_of(spaceless)}))\W*$", re.IGNORECASE
        ),
        site=re.compile(
            rf"(\w\W{{0,3}}?)(?:\s*[|\uff5c]\s*|\s+[-\u2013\u2014:]\s+)(?:{any_of(all_of('site'))})"
            r"(?:\s+(?-i:[A-Z]{2}|[A-Z][a-z]{3,10}))?\W*$",
            re.IGNORECASE,
        ),
    )
