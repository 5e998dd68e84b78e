"""Candidate captions in Redis, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from kaption.schemas import Caption
from kaption.workers.stores.footprint import Footprint, Forgetful
from kaption.workers.stores.image_cache import ImageCache, Place

if TYPE_CHECKING:
    import redis


@dataclass(frozen=True, slots=True)
class CaptionKey:
    """What a captioner's answer depends on."""

    sha256: str
    """Of the stored image."""
    captioner: str
    """The captioner's `cache_id`: model, revision, prompts and sampling."""
    context: str = ""
    """Digest of the context where prompts use it (alt text, tags ...), else empty."""


TTL_S = 7 * 24 * 3600
"""As long as the stages' topics are kept: a replay within that time asks no model again."""

_JSON = TypeAdapter(tuple[Caption, ...])


class CaptionCache(Forgetful):
    """One hash per image, a field per captioner and context: the candidates as a JSON list.

    `ttl_s` seconds after the last was written all of an image are forgotten.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, *, ttl_s: int = TTL_S) -> None:
        self._cache = ImageCache(client, key_prefix, "cap", ttl_s)

    def get(self, keys: Sequence[CaptionKey]) -> list[tuple[Caption, ...] | None]:
        """The stored candidates, or None. One round trip."""
        values = self._cache.get([_place(key) for key in keys])
        return [None if value is None else _JSON.validate_json(value) for value in values]

    def put(self, keys: Sequence[CaptionKey], captions: Sequence[tuple[Caption, ...]]) -> None:
        """Store candidates. One round trip."""
        if not keys and not captions:
            return
        values = [_JSON.dump_json(found, exclude_defaults=True) for found in captions]
        self._cache.put([_place(key) for key in keys], values)

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool = False) -> int:
        """Remove all captions of the stored images."""
        return self._cache.forget(footprints, dry_run=dry_run)

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""
        return self._cache.ready()


def _place(key: CaptionKey) -> Place:
    return key.sha256, (key.captioner, key.context)
