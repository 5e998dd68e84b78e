"""Takedowns: what may no longer be given to anybody, as a rule that any reader can apply."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AwareDatetime, StringConstraints

from schemas.limits import URL_CHARS, Detail
from schemas.pair import CleanPair
from schemas.record import Versioned


class TakedownKind(StrEnum):
    """What a takedown names."""

    PAIR = "pair"
    """A pair_id."""
    URL = "url"
    """The address of an image or of a page, as it was crawled."""
    SHA256 = "sha256"
    """Of the image's bytes, as delivered or as stored."""
    DOMAIN = "domain"
    """A host name with all below it, of images and pages."""


class Takedown(Versioned):
    """``takedown/{id}.json`` beside the manifests: a tombstone for all pairs that it covers.

    It is a rule and no list: pairs that come later are covered too.
    """

    kind: TakedownKind
    value: Annotated[str, StringConstraints(min_length=1, max_length=URL_CHARS)]
    reason: Detail = ""
    requested_at: AwareDatetime

    @property
    def takedown_id(self) -> str:
        """The same for the same request: 32 hexadecimal digits of a sha256."""
        return hashlib.sha256(f"{self.kind.value}:{self.value}".encode()).hexdigest()[:32]

    def covers(self, pair: CleanPair) -> bool:
        """Whether this pair is taken down."""
        match self.kind:
            case TakedownKind.PAIR:
                return pair.pair_id == self.value
            case TakedownKind.SHA256:
                return self.value in (pair.image.blob.sha256, pair.image.original_sha256)
            case TakedownKind.URL:
                return self.value in (pair.image.url, pair.page_url)
            case TakedownKind.DOMAIN:
                return any(under(url, self.value) for url in (pair.image.url, pair.page_url) if url)


def takedown_key(takedown: Takedown) -> str:
    """Where it stands in the dataset."""
    return f"takedown/{takedown.takedown_id}.json"


def under(url: str, domain: str) -> bool:
    """Whether the URL's host is `domain` or below it."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    domain = domain.lower().rstrip(".")
    return host.rstrip(".") == domain or host.rstrip(".").endswith(f".{domain}")
