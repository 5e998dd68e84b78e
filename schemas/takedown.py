"""Takedowns: rules that say which pairs may no longer be given to anybody."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, StringConstraints

from kaption.schemas.address import host_named, normal, normal_and_host
from kaption.schemas.caption import TextSource
from kaption.schemas.image import ImageRef
from kaption.schemas.limits import URL_CHARS, Detail, Name
from kaption.schemas.pair import CleanPair, IngestedPair, RawPair, crawled_url, image_url
from kaption.schemas.record import Versioned


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
    REFUSED = "refused"
    """The pair_id of a pair that a person refused in the audit. Unlike `PAIR`, it leaves the image
    to other pairs, and ends where the person takes the decision back."""


Rule = tuple[TakedownKind, str]
"""A takedown's kind and its value in normal form. Rules are compared for equality."""


class Takedown(Versioned):
    """A rule that withdraws every pair that it covers, now and in future.

    The dataset holds it as ``takedown/{id}.json`` beside the manifests. Hosts and URLs are compared
    in one form for all spellings: see `address.normal`.
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
                return self.kind, normal(self.value)
            case TakedownKind.SHA256:
                return self.kind, self.value.lower()
            case TakedownKind.DOMAIN:
                return self.kind, host_named(self.value) or self.value.lower()
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


Coverable = RawPair | IngestedPair | CleanPair | TextSource
"""What a takedown may cover: a pair, or the source of a text."""


def rules_for(pair: Coverable) -> Iterator[Rule]:
    """Every rule that would cover the pair, from the fields that its stage knows.

    What covers the source of one of a clean pair's captions covers the pair.
    """
    yield from own_rules(pair)
    if isinstance(pair, CleanPair):
        for caption in pair.captions:
            if caption.source is not None:
                yield from own_rules(caption.source)


def own_rules(pair: Coverable) -> Iterator[Rule]:
    """The rules that would cover the pair's own id, image and page, whatever its captions are."""
    yield TakedownKind.PAIR, pair.pair_id
    if isinstance(pair, TextSource):
        yield from address_rules([pair.image_url, pair.crawled_url, pair.page_url])
        return
    yield TakedownKind.REFUSED, pair.pair_id
    image = pair.image
    if image.blob is not None:
        yield TakedownKind.SHA256, image.blob.sha256
    addresses = [image_url(pair), crawled_url(pair), pair.page_url]
    if isinstance(image, ImageRef):
        yield TakedownKind.SHA256, image.original_sha256
    else:
        addresses += image.alternatives
    yield from address_rules(addresses)


def address_rules(urls: Iterable[str | None]) -> Iterator[Rule]:
    """The rules that would cover addresses, their hosts and every domain above these."""
    domains = {""}
    for url in urls:
        if url is not None:
            address, domain = normal_and_host(url)
            yield TakedownKind.URL, address
            while domain not in domains:
                domains.add(domain)
                yield TakedownKind.DOMAIN, domain
                domain = domain.partition(".")[2]


def rule_text(rule: Rule) -> str:
    """The rule in one string, of which its id is the digest."""
    kind, value = rule
    return f"{kind}:{value}"


def rule_id(rule: Rule) -> str:
    """The id of the takedown with this rule."""
    return hashlib.sha256(rule_text(rule).encode()).hexdigest()[:32]
