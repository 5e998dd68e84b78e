"""What a string given as an image means: a URL, or the bytes of a data: URI. Never a file."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes, urljoin

from kaption.schemas.plain_json import whole_characters

_BLANK = "".join(map(chr, range(0x21)))
# Two letters at least: C:\ is a drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_HOST = re.compile(r"//[^/\\?#\s]")
_WEB = ("http", "https")
_PATH = "a file of your own is given as a pathlib.Path"


def scheme_of(text: str) -> str:
    """The scheme in lower case, or an empty string."""
    found = _SCHEME.match(text.lstrip(_BLANK))
    return found[1].lower() if found else ""


def is_web(text: object) -> bool:
    """Whether it is a string that begins with http: or https:, in any case."""
    return isinstance(text, str) and scheme_of(text) in _WEB


def image_address(text: str, page_url: object = None) -> str | bytes:
    """The URL that a string means, or the bytes of a data: URI.

    ``//host/path`` gets the scheme of the page, else https. ``/path`` is on the page's host.
    Raises ValueError for everything else, such as a path or another scheme.
    """
    given = whole_characters(text.strip(_BLANK))
    shown = f"image {given[:200]!r}"
    scheme = scheme_of(given)
    if scheme in _WEB:
        return given
    if scheme == "data":
        return _data(given[5:])
    if scheme:
        raise ValueError(f"{shown}: its scheme is none of http, https and data")
    page = page_url.strip(_BLANK) if isinstance(page_url, str) and is_web(page_url) else None
    if given.startswith("//"):
        if not _HOST.match(given):
            raise ValueError(f"{shown} names no host")
        return f"{scheme_of(page) if page else 'https'}:{given}"
    if not given.startswith("/"):
        raise ValueError(f"{shown} is no URL; {_PATH}")
    if page is None:
        raise ValueError(f"{shown} is no URL; give page_url if it is a path on a page; {_PATH}")
    return urljoin(page, given)


def _data(uri: str) -> bytes:
    """The bytes of a data: URI (RFC 2397), without its scheme."""
    head, comma, body = uri.partition(",")
    media_type, *parameters = [part.strip().lower() for part in head.split(";")]
    if not comma or not media_type.startswith("image/"):
        raise ValueError(f"data: URI of {media_type[:100]!r}: it holds no image")
    content = unquote_to_bytes(body)
    if "base64" in parameters:
        packed = b"".join(content.split()).rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        try:
            content = base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
        except binascii.Error as error:
            raise ValueError(f"data: URI: not base64: {error}") from error
    if not content:
        raise ValueError("data: URI: it is empty")
    return content
