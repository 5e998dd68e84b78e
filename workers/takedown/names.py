"""What kind of thing the user names in a takedown: pair, URL, sha256 or domain."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from kaption.schemas import TakedownKind
from kaption.schemas.address import host_named, is_web, parsed
from kaption.schemas.limits import NAME_CHARS, URL_CHARS
from kaption.workers.settings import UserError

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_ALMOST_SHA256 = re.compile(r"(?:(?i:sha-?256)[:=]|0x)?([0-9a-fA-F]{48,80})")
# Browsers take the full stops of Chinese and Japanese for dots.
_HOST = re.compile(
    r"(?:[\w-]{1,63}[.\u3002\uff0e\uff61])+[^\W\d_][\w-]{1,62}[.\u3002\uff0e\uff61]?"
)
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|\[?[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*\]?")

_WORDS = frozenset(
    {"pair", "url", "sha256", "domain", "image", "page", "host", "site", "hash", "id"}
)
"""What people write before a name, to say its kind."""

_FORMS: Mapping[TakedownKind, Callable[[str], object]] = {
    TakedownKind.PAIR: lambda name: 0 < len(name) <= NAME_CHARS,
    TakedownKind.URL: lambda name: is_web(name) and parsed(name),
    TakedownKind.SHA256: _SHA256.fullmatch,
    TakedownKind.DOMAIN: host_named,
    TakedownKind.REFUSED: lambda _: False,
}
_WANTED = {
    TakedownKind.PAIR: f"a pair_id, up to {NAME_CHARS} characters",
    TakedownKind.URL: "an address that begins with http:// or https:// and names a host",
    TakedownKind.SHA256: "64 hexadecimal digits",
    TakedownKind.DOMAIN: "a host name such as example.org, which covers all below it",
    TakedownKind.REFUSED: "another kind, for only the audit makes takedowns of this one",
}


def kind_of(name: str, given: TakedownKind | None = None) -> TakedownKind:
    """Return what kind of thing `name` names; `given` is the kind that the user gave, if any.

    Raises UserError where the name could be of several kinds, or is no name of the kind given.
    """
    kind = given or _inferred(name)
    if len(name) > URL_CHARS or not _FORMS[kind](name):
        raise UserError(f"{name[:200]!r} is no {kind.value}: give {_WANTED[kind]}")
    return kind


def _inferred(name: str) -> TakedownKind:
    if _SHA256.fullmatch(name):
        return TakedownKind.SHA256
    if _HOST.fullmatch(name):
        return TakedownKind.DOMAIN
    if name == name.strip() and _FORMS[TakedownKind.URL](name):
        return TakedownKind.URL
    if doubt := _doubt(name):
        raise UserError(
            f"{name[:200]!r} {doubt}: say which with --kind pair, url, sha256 or domain"
        )
    return TakedownKind.PAIR


def _doubt(name: str) -> str | None:
    """Return why the name is not simply taken for a pair_id, or None."""
    if name != name.strip():
        return "begins or ends with white space"
    if name.startswith("#"):
        return "may be a comment, which a file of names has not, or a pair"
    if name.lower().strip(":=") in _WORDS:
        return "names a kind, or a pair of that name; kinds are told by --kind or by a name's form"
    head = re.split(r"[/:?#]", name.removeprefix("*.").lstrip("/"), maxsplit=1)[0]
    if "://" in name:
        return "is not an http address"
    if name.startswith("*.") and _HOST.fullmatch(head):
        return "may be a domain, which you give without *."
    if head != name and _HOST.fullmatch(head):
        return "may be a URL without http://, or a pair"
    if digits := _ALMOST_SHA256.fullmatch(name):
        return f"has {len(digits[1])} hexadecimal digits, a sha256 is 64 of them alone"
    if _ADDRESS.fullmatch(name):
        return "may be a host's address or a pair"
    return None
