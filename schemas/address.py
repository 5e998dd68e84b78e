"""How addresses are read: as browsers do, by the WHATWG URL Standard (https://url.spec.whatwg.org).

A string given as an image means a URL, or the bytes of a data: URI. It never means a file.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import quote, unquote_to_bytes

import can_ada

from kaption.schemas.plain_json import whole_characters

_BLANK = "".join(map(chr, range(0x21)))
# Browsers pass over these wherever they stand.
_UNSEEN = str.maketrans("", "", "\t\n\r")
_SCHEME_CHARS = 100
# Two letters at least: C:\ is a drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
# Browsers read /\ as //.
_HOST = re.compile(r"/[/\\][^/\\?#\s]")
_ORIGIN = re.compile(r"[A-Za-z]+:[/\\]*[^/\\?#]*")
_NO_SCHEME = re.compile(r"[\x00-\x20]*[/\\][\t\n\r]*[/\\]")
# Of an address that browsers refuse, such as one with a Punycode that stands for nothing.
_ANY_HOST = re.compile(r"[a-z][a-z0-9+.-]*:[/\\]+(?:[^/\\?#]*@)?([^/\\?#:\[\]]+)", re.IGNORECASE)
_NO_HOST = re.compile(r"[\s/\\?#@*]")
_ESCAPE = re.compile(r"%([0-9a-fA-F]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
# Those that part an address (RFC 3986, 2.2), and what is escaped already.
_KEPT = ":/?#[]@!$&'()*+,;=%"
# Most paths: nothing of them is escaped, or has to be.
_PLAIN = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]*")
_WEB = ("http", "https")
_COMMON = ("https://", "http://")
_NO_TYPE = ("", "application/octet-stream", "binary/octet-stream", "application/binary")
_PATH = "a file of your own is given as a pathlib.Path"


def scheme_of(text: str) -> str:
    """The scheme in lower case, or an empty string."""
    found = _SCHEME.match(text.lstrip(_BLANK)[:_SCHEME_CHARS].translate(_UNSEEN))
    return found[1].lower() if found else ""


def is_web(text: object) -> bool:
    """Whether it is a string that begins with http: or https:, in any case."""
    if not isinstance(text, str):
        return False
    return text.startswith(_COMMON) or scheme_of(text) in _WEB  # the first, for it costs a tenth


def parsed(url: str, base: str | None = None) -> can_ada.URL | None:
    """The URL as browsers read it, or None if they refuse it."""
    try:
        url = whole_characters(url)  # half a surrogate has no UTF-8, which the parser takes
        return can_ada.parse(url) if base is None else can_ada.parse(whole_characters(base)) + url
    except ValueError:
        return None


def normal(url: str, base: str | None = None) -> str:
    """One form for all spellings of an address; what browsers refuse stays as it is.

    Scheme and host are as browsers send them, without a final dot. User, password, default port and
    fragment are left out. Percent-encoded is what must be (RFC 3986, 6.2.2).
    """
    return _normal(_read(url, base), url)


def host_of(url: str) -> str:
    """The host of an address, as `normal` writes it and without brackets, or an empty string."""
    return _host(_read(url), url)


def normal_and_host(url: str) -> tuple[str, str]:
    """What `normal` and `host_of` give, for the price of one of them."""
    parts = _read(url)
    return _normal(parts, url), _host(parts, url)


def _normal(parts: can_ada.URL | None, url: str) -> str:
    if parts is None:
        return url
    if not parts.hostname:
        return parts.href
    host = parts.hostname.rstrip(".") + (f":{parts.port}" if parts.port else "")
    path = parts.pathname + parts.search
    if not _PLAIN.fullmatch(path):
        path = quote(_ESCAPE.sub(_escape, path), safe=_KEPT)
    return f"{parts.protocol}//{host}{path}"


def _host(parts: can_ada.URL | None, url: str) -> str:
    if parts is not None:
        return parts.hostname.strip("[]").rstrip(".").lower()
    found = _ANY_HOST.match(url.strip(_BLANK))
    return found[1].lower().rstrip(".") if found else ""


def host_named(name: str) -> str | None:
    """The host that a name is, as `host_of` writes it; None if it is no name of a host."""
    bracketed = f"[{name}]" if ":" in name and not name.startswith("[") else name
    parts = None if _NO_HOST.search(name) else parsed(f"https://{bracketed}/")
    return None if parts is None or parts.port else host_of(parts.href)


def _read(url: str, base: str | None = None) -> can_ada.URL | None:
    return parsed(url, base or ("https://-" if _NO_SCHEME.match(url) else None))


def _escape(found: re.Match[str]) -> str:
    letter = chr(int(found[1], 16))
    return letter if _UNRESERVED.fullmatch(letter) else found[0].upper()


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
        return _data(given.partition(":")[2])
    if scheme:
        raise ValueError(f"{shown}: its scheme is not http, https or data")
    page = None
    if isinstance(page_url, str) and is_web(page_url):
        page = page_url.strip(_BLANK).translate(_UNSEEN)
    if given.startswith(("//", "/\\")):
        if not _HOST.match(given):
            raise ValueError(f"{shown} names no host")
        return f"{scheme_of(page) if page else 'https'}://{given[2:]}"
    if not given.startswith("/"):
        raise ValueError(f"{shown} is not a URL; {_PATH}")
    if page is None:
        raise ValueError(f"{shown} is not a URL; give page_url if it is a path on a page; {_PATH}")
    # urljoin would take other dots and slashes out of the path than browsers do.
    return _ORIGIN.match(page)[0] + given  # type: ignore[index] # is_web has found the scheme


def _data(uri: str) -> bytes:
    """The bytes of a data: URI (RFC 2397), without its scheme."""
    head, comma, body = uri.partition("#")[0].partition(",")
    media_type, *parameters = [part.strip().lower() for part in head.split(";")]
    # Browsers look at the bytes of an image, not at its type.
    named = media_type.startswith("image/") or media_type in _NO_TYPE
    if not comma or not named:
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
