"""Captions that a model already gave for a picture under the same prompts and sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas import Caption


@dataclass(frozen=True, slots=True)
class CaptionKey:
    """What a captioner's answer depends on."""

    sha256: str
    """Of the stored picture."""
    captioner: str
    """The captioner's `cache_id`: model, revision, prompts and sampling."""
    context: str = ""
    """Digest of the context where prompts use it (alt text, tags ...), else empty."""


class CaptionCache(Protocol):
    """Candidate captions by key. Raises Retry when the store is down."""

    def get(self, keys: Sequence[CaptionKey]) -> list[tuple[Caption, ...] | None]:
        """The stored candidates, or None."""

    def put(self, keys: Sequence[CaptionKey], captions: Sequence[tuple[Caption, ...]]) -> None:
        """Store candidates."""

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""
