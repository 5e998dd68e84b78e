"""Takedowns: what may no longer be given to anybody, as a rule that any reader can apply."""

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
    """What a takedown names."""

    PAIR = "pair"
    """A pair_id."""
    URL = "url"
    """The address of an image or of a page, as it was crawled or after redirects."""
    SHA256 = "sha256"
    """Of the image's bytes, as delivered or as stored."""
    DOMAIN = "domain"
    """A host name with all below it, of images and pages."""


Rule = tuple[TakedownKind, str]
"""A takedown's kind, and its value in the one form in which it is compared."""


class Takedown(Versioned):
    """``takedown/{id}.json`` beside the manifests: a tombstone for all pairs that it covers.

    It is a rule and no list: pairs that come later are covered too. Names of hosts and addresses
    count as browsers send them: hosts in small letters and Punycode, other letters than ASCII's in
    UTF-8 and percent signs, no default port and no fragment.
    """

    kind: TakedownKind
    value: Annotated[str, StringConstraints(min_length=1, max_length=URL_CHARS)]
    reason: Detail = ""
    requested_at: AwareDatetime
    picture_of: Name | None = None
    """The id of the takedown that found this image; None where it was asked for itself."""

    @property
    def rule(self) -> Rule:
        """What `rules_for` a covered pair holds."""
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
        """The same for the same request: 32 hexadecimal digits of a sha256."""
        return rule_id(self.rule)

    def covers(self, pair: RawPair | IngestedPair | CleanPair) -> bool:
        """Whether this pair is taken down."""
        return self.rule in rules_for(pair)

    def of_image(self, sha256: str) -> Takedown:
        """Of an image that this one found: it is to come from nowhere else either."""
        changes = {"kind": TakedownKind.SHA256, "value": sha256, "picture_of": self.takedown_id}
        return self.model_copy(update=changes)


def rules_for(pair: RawPair | IngestedPair | CleanPair) -> Iterator[Rule]:
    """Every rule that would cover the pair, by what is known of it at its stage."""
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
    """The id of a takedown with that rule."""
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
    """The URL's host and all that it is below."""
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
        with suppress(UnicodeError):  # no name that could be looked up: compared as it is
            name = name.encode("idna").decode()
    return name
