"""The text of a page's bytes, in the encoding that a browser would choose."""

from __future__ import annotations

import re

_CHARSET = re.compile(r"charset\s*=[\s\"']*([\w.:+-]+)", re.IGNORECASE | re.ASCII)
# How a page in UTF-16 begins. The standard asks for a mark or a header, which some lack.
_UTF16 = {b"<\0": "utf-16le", b"\0<": "utf-16be"}
_BAD = "\N{REPLACEMENT CHARACTER}"
# Bytes that UTF-8 saves for each byte that is wrong in it. Texts in other encodings are below 1.
_MOSTLY = 4


def page_text(page: bytes, content_type: str = "") -> str:
    """The page's text. What is no character becomes U+FFFD.

    As the HTML and Encoding Standards say, these decide, first to last: the byte order mark,
    `content_type` (the header), the page's <meta> or XML declaration. A label that the standard
    does not know counts as none. Where nothing is declared the bytes decide. Python's codecs are
    not used: their gb2312, shift_jis, euc-kr and big5 lack characters that pages hold, and some of
    their names (punycode, hex, utf-7) are no encodings of pages.
    """
    import turbohtml
    import turbohtml.detect  # registers the codecs

    found = _CHARSET.search(content_type)
    declared = found[1] if found else _UTF16.get(page[:2])
    try:
        # Only the encoding is taken from this parse: lxml makes the document.
        parsed = turbohtml.parse(page, encoding=declared, positions=False)
    except LookupError:
        declared = None
        parsed = turbohtml.parse(page, positions=False)
    encoding = parsed.encoding
    if declared is None and encoding == "windows-1252":
        # Either nothing is declared, or Latin-1, which often stands over text in UTF-8.
        if _mostly_utf8(page):
            encoding = "UTF-8"
        else:
            encoding = turbohtml.parse(page, detect_encoding=True, positions=False).encoding
    return page.decode(f"whatwg-{encoding}").removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")


def _mostly_utf8(page: bytes) -> bool:
    """Whether few bytes are wrong in UTF-8: a page that was cut, or holds a foreign snippet."""
    text = page.decode(errors="replace")
    return len(page) - len(text) > _MOSTLY * text.count(_BAD)
