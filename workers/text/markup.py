"""Removes HTML from alt texts: tags, scripts and styles with their content, character references.

It uses patterns and not `html.parser`: the parser drops the rest of a text after ``<`` and a letter
("size a<b, blue"), and each patch release of Python 3.11 does so differently.
"""

from __future__ import annotations

import html
import re

_HIDDEN = re.compile(
    r"<(script|style|template|noscript)\b[^>]*>.*?(?:</\1\s*>|$)|<!--.*?(?:-->|$)",
    re.IGNORECASE | re.DOTALL,
)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)(?:\]\]>|$)", re.DOTALL)
_UNCLOSED = re.compile(
    r"<(?:script|style|template|noscript)\b[^<>]{0,2000}>(?=[^<{}=;()]*\w[^<{}=;()]*$)",
    re.IGNORECASE,
)
"""An element that is never closed and holds no code: what follows is the alt text itself."""
_INLINE = "a|abbr|b|bdi|bdo|big|cite|code|em|font|i|ins|kbd|mark|s|small|span|strong|sub|sup|u|wbr"
_BLOCK = (
    "address|article|aside|audio|blockquote|body|br|button|center|dd|del|div|dl|dt|figcaption|"
    "figure|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|label|li|link|main|meta|nav|"
    "object|ol|option|p|picture|pre|q|script|section|select|source|style|svg|table|tbody|td|"
    "template|noscript|textarea|tfoot|th|thead|title|tr|ul|video"
)
# Bounded and possessive: otherwise an unclosed quote after thousands of "<a " takes quadratic time.
_ATTRIBUTES = r"""(?:\s(?:[^<>"']|"[^"<>]{0,2000}"|'[^'<>]{0,2000}'){0,2000}+)?"""


def _tag(names: str) -> re.Pattern[str]:
    return re.compile(rf"</?(?:{names}){_ATTRIBUTES}\s*/?>", re.IGNORECASE)


_CUT_TAG = re.compile(
    rf"<(?:(?:script|style|iframe)\b[^<>]{{0,2000}}|(?:{_INLINE}|{_BLOCK})\s+[\w:-]{{1,60}}\s*=[^<>]{{0,2000}})$",
    re.IGNORECASE,
)
"""A tag at the end of a text that was cut inside of it."""
_INLINE_TAG, _BLOCK_TAG = _tag(_INLINE), _tag(_BLOCK)


def strip_markup(text: str) -> str:
    """Remove one layer of markup; a ``<`` or ``&`` that is no markup stays."""
    if "<" in text:
        text = _CDATA.sub(r"\1", text)
        text = _HIDDEN.sub(" ", _UNCLOSED.sub(" ", text))
        text = _BLOCK_TAG.sub(" ", _INLINE_TAG.sub("", text))
        text = _CUT_TAG.sub(" ", text)
    return html.unescape(text) if "&" in text else text
