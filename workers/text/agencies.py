# ruff: noqa: RUF001  # letters of many scripts are what this is about
"""Agencies that credits name (agencies.toml), and credits that are told by them without a label."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files

from kaption.workers.text.names import is_name, may_be_name

_TABLE: dict[str, list[str]] = tomllib.loads(
    files("kaption.workers.text").joinpath("agencies.toml").read_text("utf-8")
)


def _any_of(*kinds: str) -> str:
    # The longest first: "Getty Images" before "Getty".
    names = sorted({name for kind in kinds for name in _TABLE[kind]}, key=len, reverse=True)
    return "|".join(re.escape(name) for name in names)


AGENCIES = rf"(?:(?:the )?(?:{_any_of('sure', 'capitals', 'beside')}))"
"""All of them: behind a label, or beside a name. Compile it with IGNORECASE."""
_SURE = rf"(?:(?:the )?(?:{_any_of('sure')})|(?-i:{_any_of('capitals')}))"
_IMAGE = (
    r"(?:photos?|fotos?|fotó|images?|pictures?|bild(?:er)?|file photo|wire|news|pool|写真|사진)"
)
_WITH_IMAGE = rf"(?:{_IMAGE}\s+)?{{agency}}(?:\s+{_IMAGE})?"
_ONE = re.compile(_WITH_IMAGE.format(agency=AGENCIES), re.IGNORECASE)
_SURE_ONE = re.compile(_WITH_IMAGE.format(agency=_SURE), re.IGNORECASE)
_ALONE = re.compile(rf"(?:{_IMAGE}\s*[ /]\s*{_SURE}|{_SURE}\s+{_IMAGE})", re.IGNORECASE)
_LONE = re.compile(rf"\W*[=＝(（\[【]\s*{_WITH_IMAGE.format(agency=AGENCIES)}\W*", re.IGNORECASE)
"""What other rules left of a credit: "(AA)", "＝共同"."""
_BEFORE = re.compile(
    rf"\A(?:AFP (?i:via) )?(?:{_SURE}|BBC(?: News)?)(?:/\s?[\w .]{{2,40}}?)?\s+"
    r"(?-i:(?=(?:An?|The|Two|Three|Four|Five|Several|Some|Many|People|Men|Women|Children|Aerial)"
    r"\s+[a-z]\w+\s+\w))",
    re.IGNORECASE,
)
"""An agency before a sentence, as in BBC's alt texts: "Getty Images A farmer walks"."""
_BETWEEN = re.compile(r"\s*[/／=＝]\s*|\s+via\s+", re.IGNORECASE)
_LOOSE = re.compile(r"\s*[|｜()（）,]\s*|\s+[–—-]\s+")
"""Between agencies alone: "Jane Doe | Reuters" may show her."""
_BESIDE = re.compile(
    rf"{_IMAGE}|file|hand-?out|archive?s?|archivbild|(?:{_IMAGE} )?\d{{4}}", re.IGNORECASE
)
_CHINESE = re.compile(
    rf"{_SURE}\s*(?:发|發|记者|記者|供图|供圖|资料图|資料圖)\W*\w{{0,4}}\W*(?:摄|攝|图|圖)?\W*",
    re.IGNORECASE,
)
_STARTS = re.compile(
    r"(?<=[.!?…。！？”\"»])\s*(?=\S)|\s*(?=[(（\[【])|\s+[–—-]\s+|\s*[|｜•·]\s*"
    rf"|\s*[/／]\s*(?={_SURE}\W*\Z)|\s*[=＝]\s*(?={AGENCIES}\W*\Z)",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"\b(?:logos?|agenc(?:y|ies|e|ia|ja|tura)|agência|agenzia|(?:[\w-]{0,20}-)?agentur|headquarters|sede"
    r"|sitz|siège|signs?|journalists?|reporters?|photographers?|letters|агентств\w*|логотип\w*|وكالة"
    r"|شعار|एजेंसी)\b[^.!?…]*\Z|(?:通讯社|通信社|標誌|标志|ロゴ|로고)[^。！？]*\Z"
    r"|(?:\b(?:buildings?|offices?|screens?|app|websites?|brands?|icons?|reads?|says?|called|named|by"
    r"|from|and|of|the|at|for|de|von|der|die|la|le|el)|[,:&])\W*\Z",
    re.IGNORECASE,
)
"""Words before an agency that is shown: "the logo of the agency (Reuters)"."""
_SENTENCE = (".", "!", "?", "…", "。", "！", "？")
_MOST = 120
_PARTS = 6
_OUTER = " .()[]（）【】"


def is_agency_credit(text: str) -> bool:
    """Whether a text names agencies, and people beside them: "AP Photo/J. Doe", "(AFP)".

    An agency alone, without brackets, is none: the image may show its sign.
    """
    inner = text.strip(_OUTER)
    if len(text) > _MOST or not inner:
        return False
    bracketed = inner != text.strip(" .") and _SURE_ONE.fullmatch(inner)
    if bracketed or _CHINESE.fullmatch(inner) or _ALONE.fullmatch(inner):
        return True
    loose = [part for part in _LOOSE.split(inner) if part]
    parts = [[each for each in _BETWEEN.split(part) if each] for part in loose]
    sure = any(_SURE_ONE.fullmatch(each) for part in parts for each in part)
    return (
        1 < sum(map(len, parts)) <= _PARTS
        and all(_is_owner(each, len(part) > 1) for part in parts for each in part)
        and (sure or any(map(_joins_both, parts)))
    )


def is_lone_agency(text: str) -> bool:
    """Whether a whole text is an agency in brackets or behind an equals sign."""
    return len(text) <= _MOST and _LONE.fullmatch(text) is not None


def without_agency(text: str) -> str:
    """The text without an agency before it, or behind it after a sentence, a bracket, a bar."""
    text = _BEFORE.sub("", text)
    begin = max(0, len(text) - _MOST)
    for start in _STARTS.finditer(text, begin):
        before, rest = text[: start.start()], text[start.end() :]
        if len(before.split()) < 2 and not (len(before) > 3 and not before.isascii()):
            continue
        agency = rest.strip(_OUTER)
        if _SURE_ONE.fullmatch(agency) or (_ONE.fullmatch(agency) and _is_marked(before, rest)):
            credit = not _ABOUT.search(before[-_MOST:])
        else:
            credit = is_agency_credit(rest)
        if credit:
            return before.rstrip()
    return text


def _is_marked(before: str, rest: str) -> bool:
    """Whether an agency whose name is another word too stands where only credits do.

    A Japanese or Chinese name does so behind any sign; another one in brackets behind a sentence.
    """
    bracketed = rest.lstrip()[:1] in ("(", "[")
    return rest.strip(_OUTER) >= "\u3040" or (bracketed and before.endswith(_SENTENCE))


def _joins_both(part: list[str]) -> bool:
    """Whether a slash joins a person and what may be an agency: "Keystone/Hans Müller"."""
    return any(_ONE.fullmatch(each) for each in part) and any(map(is_name, part))


def _is_owner(part: str, joined: bool) -> bool:
    if _ONE.fullmatch(part) or _BESIDE.fullmatch(part):
        return True
    return joined and (is_name(part) or may_be_name(part))
