"""HTML in alt texts: character references resolved, tags dropped, scripts and styles with content.

Patterns rather than `html.parser`, which swallows the rest of a text after any ``<`` and a letter
("size a<b, blue") and does so differently in each patch release of Python 3.11.
"""

from __future__ import annotations

import html
import re

_HIDDEN = re.compile(
    r"<(script|style|template|noscript)\b[^>]*>.*?(?:</\1\s*>|$)|<!--.*?(?:-->|$)",
    re.IGNORECASE | re.DOTALL,
)
_INLINE = "a|abbr|b|bdi|bdo|big|cite|code|em|font|i|ins|kbd|mark|s|small|span|strong|sub|sup|u|wbr"
_BLOCK = (
    "address|article|aside|audio|blockquote|body|br|button|center|dd|del|div|dl|dt|figcaption|"
    "figure|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|label|li|link|main|meta|nav|"
    "object|ol|option|p|picture|pre|q|script|section|select|source|style|svg|table|tbody|td|"
    "template|noscript|textarea|tfoot|th|thead|title|tr|ul|video"
)
# Bounded and possessive: an unclosed quote after thousands of "<a " must not cost quadratic time.
_ATTRIBUTES = r"""(?:\s(?:[^<>"']|"[^"<>]{0,2000}"|'[^'<>]{0,2000}'){0,2000}+)?"""


def _tag(names: str) -> re.Pattern[str]:
    return re.compile(rf"</?(?:{names}){_ATTRIBUTES}\s*/?>", re.IGNORECASE)


_INLINE_TAG, _BLOCK_TAG = _tag(_INLINE), _tag(_BLOCK)


def strip_markup(text: str) -> str:
    """One layer of markup off; text that merely holds ``<`` or ``&`` stays as it is."""
    if "<" in text:
        text = _HIDDEN.sub(" ", text)
        text = _BLOCK_TAG.sub(" ", _INLINE_TAG.sub("", text))
    return html.unescape(text) if "&" in text else text
