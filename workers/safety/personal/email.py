"""E-mail addresses, also of other scripts and with the at sign written as a word in brackets."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from kaption.workers.safety.personal.folded import Span

MARK = "[e-mail]"

_LOCAL = r"[\w](?:[\w.!#$%&'*+=?^`{|}~-]{0,62}[\w+-])?"
_LABEL = r"[\w](?:[\w-]{0,61}\w)?"
_TOP = r"(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,24})"
_AT = r"(?:\s*[\[({<]\s*(?:at|ät|@|arroba|chez|собака)\s*[\])}>]\s*|@)"
_DOT = r"(?:\s*[\[({<]\s*(?:dot|punkt|punto|point|ponto|точка|\.)\s*[\])}>]\s*|\.)"
_ADDRESS = re.compile(
    # An at sign before the address makes it a handle, such as @name@example.social.
    rf"(?<![\w@/.+-]){_LOCAL}{_AT}(?:{_LABEL}{_DOT}){{1,5}}{_TOP}(?![\w@])"
    rf"|(?<![\w@/.+-]){_LOCAL}\sat\s(?:{_LABEL}\sdot\s){{1,4}}{_TOP}\b",
    re.IGNORECASE,
)
_FILE = re.compile(
    r"@[\w.-]*\.(?:png|jpe?g|gif|webp|svg|avif|bmp|tiff?|heic|ico|pdf|html?|php|aspx?|js|css|mp4)$",
    re.IGNORECASE,
)
"""Names of files for dense screens, such as logo@2x.png."""


def find(text: str) -> Iterator[Span]:
    """Where addresses are in a folded text."""
    if "@" not in text and not re.search(r"\W(?:at|ät|arroba|chez|собака)\W", text, re.IGNORECASE):
        return
    for found in _ADDRESS.finditer(_spelled(text)):
        if not _FILE.search(found[0]):
            yield found.span()


def _spelled(text: str) -> str:
    r"""The text with a letter for each mark of a letter: `\w` has no vowels of Indic scripts."""
    if text.isascii():
        return text
    return "".join("a" if unicodedata.category(it)[0] == "M" else it for it in text)
