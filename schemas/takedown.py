"""Takedowns: rules that say which pairs may no longer be given to anybody."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import AwareDatetime, StringConstraints

from kaption.schemas.image import ImageRef
from kaption.schemas.limits import URL_CHARS, Detail, Name
from kaption.schemas.pair import CleanPair, IngestedPair, RawPair, image_url
from kaption.schemas.record import Versioned

_URL = re.compile(r"(https?)://([^/?#\\]*)([^#]*).*", re.IGNORECASE | re.DOTALL)
_PORTS = {"http": ":80", "https": ":443"}
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


class TakedownKind(StrEnum):
    """What the value of a takedown is."""

    PAIR = "pair"
    """A pair_id."""
    URL = "url"
    """The URL of an image or of a page, as it was crawled or after redirects."""
    SHA256 = "sha256"
    """The sha256 of an image, as delivered or as stored."""
    DOMAIN = "domain"
    """A host name. It covers images and pages of that host and of all hosts below it."""


Rule = tuple[TakedownKind, str]
"""A takedown's kind and its value in normal form. Rules are compared for equality."""


class Takedown(Versioned):
    """A rule that withdraws every pair that it covers, now and in future.

    The dataset holds it as ``takedown/{id}.json`` beside the manifests. Hosts and URLs are compared
    in the form that a browser sends: the host in lower case and Punycode, non-ASCII characters
    percent-encoded as UTF-8, no default port, no fragment.
    """

    kind: TakedownKind
    value: Annotated[str, StringConstraints(min_length=1, max_length=URL_CHARS)]
    reason: Detail = ""
    """Why the takedown was requested."""
    requested_at: AwareDatetime
    picture_of: Name | None = None
    """The id of the takedown that led to this image. Absent where a person requested this takedown
    itself."""

    @property
    def rule(self) -> Rule:
        """The takedown's rule. `rules_for` yields it for every covered pair."""
        match self.kind:
            case TakedownKind.URL:
                return self.kind, _address(self.value)
            case TakedownKind.SHA256:
                return self.kind, self.value.lower()
            case TakedownKind.DOMAIN:
                return self.kind, _host(self.value)
        return self.kind, self.value

    @property
    def takedown_id(self) -> str:
        """32 hexadecimal digits of the rule's sha256. Equal rules have equal ids."""
        return rule_id(self.rule)

    def covers(self, pair: RawPair | IngestedPair | CleanPair) -> bool:
        """Whether the takedown withdraws this pair."""
        return self.rule in rules_for(pair)

    def of_image(self, sha256: str) -> Takedown:
        """A takedown of an image that this takedown covers.

        It keeps the same image from coming back under another URL or pair_id.
        """
        changes = {"kind": TakedownKind.SHA256, "value": sha256, "picture_of": self.takedown_id}
        return self.model_copy(update=changes)


def rules_for(pair: RawPair | IngestedPair | CleanPair) -> Iterator[Rule]:
    """Every rule that would cover the pair, from the fields that its stage knows."""
    yield TakedownKind.PAIR, pair.pair_id
    image = pair.image
    if image.blob is not None:
        yield TakedownKind.SHA256, image.blob.sha256
    addresses = [image_url(pair), pair.page_url]
    if isinstance(image, ImageRef):
        yield TakedownKind.SHA256, image.original_sha256
        addresses.append(image.crawled_url)
    for url in addresses:
        if url is not None:
            yield TakedownKind.URL, _address(url)
            for domain in _domains(url):
                yield TakedownKind.DOMAIN, domain


def rule_id(rule: Rule) -> str:
    """The id of the takedown with this rule."""
    kind, value = rule
    return hashlib.sha256(f"{kind.value}:{value}".encode()).hexdigest()[:32]


def _address(url: str) -> str:
    """The URL as a browser sends it."""
    match = _URL.fullmatch(url)
    if match is None:
        return url
    scheme, (user, at, host), rest = match[1].lower(), match[2].rpartition("@"), match[3]
    host = re.sub(f"({_PORTS[scheme]})+$", "", _host(host))
    rest = quote(rest if rest.startswith("/") else f"/{rest}", safe=_ASCII)
    return f"{scheme}://{user}{at}{host}{rest}"


def _domains(url: str) -> Iterator[str]:
    """The URL's host and every domain above it."""
    try:
        name = _host(urlsplit(url).hostname or "")
    except ValueError:
        return
    while name:
        yield name
        name = name.partition(".")[2]


def _host(name: str) -> str:
    name = name.lower().rstrip(".")
    if not name.isascii():
        with suppress(UnicodeError):  # not a valid host name: compare it unchanged
            name = name.encode("idna").decode()
    return name
