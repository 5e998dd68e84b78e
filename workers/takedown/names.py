"""What kind of thing the user names in a takedown: pair, URL, sha256 or domain."""

from __future__ import annotations

import re

from kaption.schemas import TakedownKind
from kaption.schemas.limits import NAME_CHARS, URL_CHARS
from kaption.workers.errors import UserError

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_ALMOST_SHA256 = re.compile(r"[0-9a-fA-F]{48,80}")
_URL = re.compile(r"https?://[^/?#\s]+\S*", re.IGNORECASE)
_HOST = re.compile(r"(?:[\w-]{1,63}\.)+[^\W\d_][\w-]{1,62}\.?")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*")
_ONE_LABEL = re.compile(r"[\w-]{1,63}")

_FORMS = {
    TakedownKind.PAIR: re.compile(rf".{{1,{NAME_CHARS}}}", re.DOTALL),
    TakedownKind.URL: _URL,
    TakedownKind.SHA256: _SHA256,
    TakedownKind.DOMAIN: re.compile(f"{_HOST.pattern}|{_ADDRESS.pattern}|{_ONE_LABEL.pattern}"),
}
_WANTED = {
    TakedownKind.PAIR: f"a pair_id, up to {NAME_CHARS} characters",
    TakedownKind.URL: "an address that begins with http:// or https://",
    TakedownKind.SHA256: "64 hexadecimal digits",
    TakedownKind.DOMAIN: "a host name such as example.org, which covers all below it",
}


def kind_of(name: str, given: TakedownKind | None = None) -> TakedownKind:
    """Return what kind of thing `name` names; `given` is the kind that the user gave, if any.

    Raises UserError where the name could be of several kinds, or is no name of the kind given.
    """
    kind = given or _inferred(name)
    if len(name) > URL_CHARS or _FORMS[kind].fullmatch(name) is None:
        raise UserError(f"{name[:200]!r} is no {kind.value}: give {_WANTED[kind]}")
    return kind


def _inferred(name: str) -> TakedownKind:
    clear = {TakedownKind.SHA256: _SHA256, TakedownKind.URL: _URL, TakedownKind.DOMAIN: _HOST}
    for kind, form in clear.items():
        if form.fullmatch(name):
            return kind
    if doubt := _doubt(name):
        raise UserError(
            f"{name[:200]!r} {doubt}: say which with --kind pair, url, sha256 or domain"
        )
    return TakedownKind.PAIR


def _doubt(name: str) -> str | None:
    """Return why the name is not simply taken for a pair_id, or None."""
    head = re.split(r"[/:?#]", name.removeprefix("*."), maxsplit=1)[0]
    if "://" in name:
        return "is not an http address"
    if name.startswith("*.") and _HOST.fullmatch(head):
        return "may be a domain, which you give without *."
    if head != name and _HOST.fullmatch(head):
        return "may be a URL without http://, or a pair"
    if _ALMOST_SHA256.fullmatch(name):
        return f"has {len(name)} hexadecimal digits, a sha256 has 64"
    if _ADDRESS.fullmatch(name):
        return "may be a host's address or a pair"
    return None
