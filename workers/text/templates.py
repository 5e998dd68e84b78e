# ruff: noqa: RUF001  # letters of many scripts are what this is about
"""Removes what a template left where a value was missing, such as "{{product.title}}"."""

from __future__ import annotations

import re

_CODE_CHARS = 200
# The last words of variables that stand for a text of an image.
_NAMES = (
    r"alt|alttext|alt_text|altname|title|name|caption|description|desc|image|img|photo|picture|pic|"
    r"product|item|post|page|site|text|label|headline|filename|file|url|src|id|index|value|data|sku|"
    r"brand|model|author|category|count|number|n|i|s|d|city|store|user|username|firstname|lastname"
)
_WORD = r"[A-Za-z_$][\w$]{0,60}"
_PATH = rf"{_WORD}(?:(?:\.|->|::|\[|\]|_|-){_WORD}|\[\d{{1,4}}\]){{1,8}}"
_CAMEL = r"(?-i:[a-z]{1,30}(?:[A-Z][a-z0-9]{1,30}){1,6})"
_VARIABLE = rf"(?:{_PATH}|{_CAMEL}|{_NAMES}|\d{{1,2}})"
_LEFT = re.compile(
    r"\{!!?[^{}!]{0,300}!!?\}|\{![\w.$]{1,100}\}|\[%[^\[\]%]{0,300}%\]|\[[!*+~][\w.:-]{1,60}[!*+~]?\]"
    r"|<\$[\w.:]{1,60}\$?>|<(?:txp|exp|mt|c|s|f|h|jsp|asp|th|x):[\w.:-]{1,60}(?:\s[^<>]{0,200})?/?>"
    r"|\{\{[^{}]{0,300}\}\}\}?|\{%[^{}]{0,300}%\}|\{#[^{}]{0,300}#\}|<%[^<>]{0,300}%>"
    r"|\$\([a-z_][\w.]{0,60}\)"
    r"|\{\w{1,40}, ?(?:plural|select|selectordinal|number|date|time)\b.{0,300}"
    r"|<\?(?:php|=)(?:[^<>]|[-=]>){0,300}\?>|[$#@]\{[^{}]{0,300}\}|\{\$[^{}]{1,100}\}|\[\[[!+*~%$]{0,2}[\w.:-]{1,60}\]\]|\*\|[\w:]{1,60}\|\*"
    rf"|\{{\s*{_VARIABLE}(?:\s*\|[^{{}}]{{0,100}})?\s*\}}|\[\s*(?:{_PATH})\s*\](?!\()"
    r"|(?<![\w%])%%?[A-Za-z_][\w.-]{0,60}%%?(?!\w)|(?<![\w%])%(?:\d\$)?[sd@](?!\w)"
    r"|__[A-Z][A-Z0-9_]{1,60}__|(##|@@|\^)[A-Z][A-Z0-9_]{1,60}\1(?!\w)"
    r"|(?<!\w)%\([a-z_]\w{0,60}\)[sdf]?|\[object [A-Z]\w{2,40}\]"
    r"|function ?\w{0,40}\([\w, ]{0,60}\) ?\{.{0,300}"
    # People write "[Image description: a mug]", so that words alone are no attributes.
    r"|\[/?(?:caption|gallery|img|image|embed|url|video|(?:vc|et_pb)_\w{1,40})"
    r"(?:\s[^\[\]=]{0,60}=[^\[\]]{0,300}|[\s\d,]{0,20}/?)\]"
    r"|(?<![\w.])@(?:model|item|viewbag|html|props)\.[\w.]{1,60}"
    r"|translation missing: [\w.-]{1,100}|liquid error:? .{0,200}",
    re.IGNORECASE | re.ASCII,
)
_MISSING = re.compile(
    r"(?=[\W_]*[nu])(?:[\s,;:|/()\-\u2013\u2014_.x\u00d7]|\b(?:undefined|null|nan|none|nil)\b)+"
    r"|#(?:n/a|ref!|value!|name\?|div/0!|null!|num!)|<(?:undefined|null|none|empty string)>",
    re.IGNORECASE,
)
_VARIABLE_ALONE = re.compile(
    rf"\$(?:{_WORD})|(?=.*_)(?:[a-z]{{1,20}}_){{0,4}}(?:{_NAMES})(?:_[a-z]{{1,20}}){{0,4}}|"
    r"todo\W*|lorem ipsum\b.*|"
    # A key of a translation, in a call or alone
    rf"\$?(?:i18n|intl|lang|t|tr|trans|translate|_|__|gettext|i18n\.t)?\(\s*(['\"])[\w.:-]{{1,80}}\1\s*\)|"
    rf"(?:i18n|intl|lang)[:.][\w.:-]{{1,80}}|(?:[a-z]\w{{0,30}}\.){{1,6}}(?:{_NAMES})",
    re.IGNORECASE | re.ASCII,
)
"""The name of a variable as the whole text, such as "product_title"."""
_CODE = re.compile(
    r"[$:@{<^(\[]{0,3}[a-z]+[0-9]*(?:(?:\??[._]|::?|->|\[\w{0,20}\](?:\?*\.)?)[a-z0-9]+){1,8}"
    r"[}>^)\]]{0,3}(?:=([\"'])\w*\1)?",
    re.IGNORECASE | re.ASCII,
)
"""A path of names without a space, in the notation of any language, as the whole text."""
_EMPTY_ALT = re.compile(
    r"(?=.{0,60}(?:(?<![a-z])alt[ -]{0,2}(?:attribut|属性|özelliği|metin)"
    r"|(?:attribut\w{0,2}|atr[iy]but\w{0,2}|атрибут\w{0,2}|thuộc tính) alt\b|대체 속성))"
    r".{10,110}(?:file ?name|dateiname|nom d[eu] fichier|nombre (?:de|del) archivo"
    r"|nome d(?:el|o) (?:file|arquivo|ficheiro)|bestandsnaam|o nazwie|nazwa pliku|имя файла"
    r"|ім.я файлу|filnamn|filnavn|název souboru|dosya adı|tên (?:tệp|tập tin)|nama berkas\w{0,3}"
    r"|文件名|檔案名稱|ファイル名|파일 이름).{0,200}\.[a-z]{3,4}\W{0,3}(?:です|입니다)?\W{0,3}",
    re.IGNORECASE,
)
"""What WordPress's editor says in place of an empty text, in the language of the editor."""
_WARNING = re.compile(
    r"(?:warning|notice|deprecated|(?:fatal|parse) error): .{0,300}? in \S{1,300}\.php\b"
    r"(?:\(\d{1,6}\))?(?: on line \d{1,6})?",
    re.IGNORECASE,
)
"""What PHP writes where the value of an attribute should be."""
_NO_VALUE = r"(?:undefined|null|NaN|\[object Object\])"
_NO_PART = re.compile(
    rf"(?:\s+[-–—|/·•]\s+|\s*[|｜]\s*|\s*\(){_NO_VALUE}(?:\)|(?=\s+[-–—|/·•]\s|\s*[|｜(]|\s*\Z))"
    rf"|\A{_NO_VALUE}(?:\s+[-–—|/·•]\s+|\s*[|｜:]\s*)|,\s*undefined(?=\s*(?:,|\Z))|\Aundefined,?\s+(?![a-z])"
)
"""A part between separators that JavaScript writes for a missing value, in its own spelling: "Null"
is a number in German. A comma alone parts a list, in which "null" may be one, too."""
_ENDS = re.compile(r"\A\s*[-–—|/·•:]\s+|\s+[-–—|/·•]\s*\Z")
"""Separators that have nothing on one side any more."""
_LETTERS = re.compile(r"\w+")
_JOINING = {"a", "an", "the", "of", "by", "in", "on", "at", "to", "and", "or", "for", "from"}
_JOINING |= {"with", "no", "von", "und", "de", "des", "y", "et", "e", "di", "da", "en", "van", "og"}
"""Words that say nothing once the values between them are missing: "%s by %s"."""
_NAMED = frozenset(name for name in _NAMES.split("|") if len(name) > 2) | {"images", "translation"}


def _is_code(text: str) -> bool:
    """Whether a text is a path whose last names stand for a text of an image."""
    if len(text) > _CODE_CHARS or _CODE.fullmatch(text) is None:
        return False
    words = re.findall("[a-z]+", text.lower())
    return not _NAMED.isdisjoint(words[-2:] if len(words) > 2 else words[-1:])


def strip_templates(text: str) -> str:
    """Remove the marks of templates and of missing values; a text of nothing else is empty."""
    if _MISSING.fullmatch(text) or _VARIABLE_ALONE.fullmatch(text) or _is_code(text):
        return ""
    if _EMPTY_ALT.fullmatch(text):
        return ""
    text = _NO_PART.sub("", text)
    if not any(mark in text for mark in "{%[_*<$#@:"):
        return text
    left = _WARNING.sub(" ", _LEFT.sub(" ", text))
    if left == text:
        return text
    return "" if _JOINING.issuperset(_LETTERS.findall(left.lower())) else _ENDS.sub(" ", left)
