"""Removes what a template left where a value was missing, such as "{{product.title}}"."""

from __future__ import annotations

import re

# The last words of variables that stand for a text of an image.
_NAMES = (
    r"alt|alttext|alt_text|altname|title|name|caption|description|desc|image|img|photo|picture|pic|"
    r"product|item|post|page|site|text|label|headline|filename|file|url|src|id|index|value|data|"
    r"sku|"
    r"brand|model|author|category|count|number|n|i|s|d|city|store|user|username|firstname|lastname"
)
_WORD = r"[A-Za-z_$][\w$]{0,60}"
_PATH = rf"{_WORD}(?:(?:\.|->|::|\[|\]|_|-){_WORD}|\[\d{{1,4}}\]){{1,8}}"
_CAMEL = r"(?-i:[a-z]{1,30}(?:[A-Z][a-z0-9]{1,30}){1,6})"
_VARIABLE = rf"(?:{_PATH}|{_CAMEL}|{_NAMES}|\d{{1,2}})"
_LEFT = re.compile(
    r"\{\{[^{}]{0,300}\}\}\}?|\{%[^{}]{0,300}%\}|\{#[^{}]{0,300}#\}|<%[^<>]{0,300}%>|<\?(?:php|"
    r"=)[^<>]{0,300}\?>"
    r"|[$#@]\{[^{}]{0,300}\}|\{\$[^{}]{1,100}\}|\[\[[+*~%$]?[\w.:-]{1,60}\]\]|\*\|[\w:]{1,60}\|\*"
    rf"|\{{\s*{_VARIABLE}\s*\}}|\[\s*(?:{_PATH})\s*\](?!\()"
    r"|(?<![\w%])%%?[A-Za-z_][\w.-]{0,60}%%?(?!\w)|(?<![\w%])%(?:\d\$)?[sd@](?!\w)"
    r"|__[A-Z][A-Z0-9_]{1,60}__|\[object [A-Z]\w{2,40}\]|"
    r"function ?\w{0,40}\([\w, ]{0,60}\) ?\{.{0,300}"
    r"|\[/?(?:caption|gallery|img|image|embed|url|video|vc_\w{1,40}|"
    r"et_pb_\w{1,40})(?:\s[^\[\]]{0,300})?\]"
    r"|(?<![\w.])@(?:model|item|viewbag|html|props)\.[\w.]{1,60}"
    r"|translation missing: [\w.-]{1,100}|liquid error:? .{0,200}",
    re.IGNORECASE | re.ASCII,
)
_MISSING = re.compile(
    r"(?=[\W_]*\w)(?:[\s,;:|/()\-\u2013\u2014_.]|\b(?:undefined|null|nan|none)\b)+", re.IGNORECASE
)


_VARIABLE_ALONE = re.compile(
    rf"\$(?:{_WORD})|(?=.*_)(?:[a-z]{{1,20}}_){{0,4}}(?:{_NAMES})(?:_[a-z]{{1,20}}){{0,4}}|"
    rf"todo\W*|lorem ipsum\b.*",
    re.IGNORECASE | re.ASCII,
)
"""The name of a variable as the whole text, such as "product_title"."""


def strip_templates(text: str) -> str:
    """Remove the marks of templates and of missing values; a text of nothing else is empty."""
    if _MISSING.fullmatch(text) or _VARIABLE_ALONE.fullmatch(text):
        return ""
    if not any(mark in text for mark in "{%[_*<$#@:"):
        return text
    left = _LEFT.sub(" ", text)
    return left if left == text or any(map(str.isalnum, left)) else ""
