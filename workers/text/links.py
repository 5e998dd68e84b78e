"""Removes URLs and e-mail addresses, and the brackets and separators that are left of them."""

from __future__ import annotations

import re

_DATA = r"\bdata:(?:image|text|application)/[\w.+-]{1,60}[;,]\S*"
_URL = re.compile(
    _DATA + r"""|(?:\bhttps?://|\bftp://|\bwww\.(?=\w))[^\s<>"'`|]*[^\s<>"'`|.,;:!?)\]}]""", re.I
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_SOURCE = re.compile(
    r"(?:^|(?<=[\s(\[]))(?:visit|see|via|source|read more|more at|link|url|website|contact|e-?mail"
    r"|quelle|fuente|lien)\s*:?\s*$",
    re.I,
)
_EMPTY_BRACKETS = re.compile(r"\(\s*\)|\[\s*\]|\{\s*\}|\uff08\s*\uff09|\u3010\s*\u3011")
_SEPARATOR = r"[\s,;:|\u2022\u00b7\uff5c\uff0c\u3001\uff1b\uff1a\u060c\u061b]"
# The look behind: without it a long row of separators takes quadratic time.
_STRAY = re.compile(
    rf"^{_SEPARATOR}+|^[.!?)\]]+(?=\s)"
    r"|(?:^|\s)[\u2013\u2014-](?=\s*$)|[(\[\uff08\u3010]\s*$"
    rf"|(?<!{_SEPARATOR}){_SEPARATOR}+$"
)
_SPACED = re.compile(r"\s+(?=[)\]]|[,.](?:\s|$))|(?<=[(\[])\s+")


def strip_links(text: str) -> str:
    """Remove addresses, and a "via" or "source:" before an address."""
    for pattern in (_URL, _EMAIL):
        if pattern.search(text):
            parts = pattern.split(text)
            text = " ".join([*(_SOURCE.sub("", part) for part in parts[:-1]), parts[-1]])
    return text


def tidy(text: str) -> str:
    """Remove empty brackets, separators at the ends, and white space next to brackets."""
    return _STRAY.sub("", _SPACED.sub("", _EMPTY_BRACKETS.sub("", text)))
