"""Caches candidate captions, as JSON in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pydantic import TypeAdapter

from kaption.schemas import Caption
from kaption.workers.stores.image_cache import TTL_S, ImageCache

if TYPE_CHECKING:
    import redis


class CaptionKey(NamedTuple):
    """Everything that a captioner's candidates depend on."""

    sha256: str
    """The stored image's sha256."""
    captioner: str
    """The captioner's `cache_id`: model, revision, prompts and sampling."""
    context: str = ""
    """Digest of alt text, tags and so on, if the captioner's prompts use them, else empty."""


_JSON = TypeAdapter(tuple[Caption, ...])


class CaptionCache(ImageCache):
    """Candidates by image, captioner and context.

    One hash for each image with a field for each captioner and context.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, *, ttl_s: int = TTL_S) -> None:
        super().__init__(client, key_prefix, "cap", ttl_s)

    def get(self, keys: Sequence[CaptionKey]) -> list[tuple[Caption, ...] | None]:
        """For each key the candidates, or None if they are not cached. One round trip."""
        values = self.get_bytes(keys)
        return [None if value is None else _JSON.validate_json(value) for value in values]

    def put(self, keys: Sequence[CaptionKey], captions: Sequence[tuple[Caption, ...]]) -> None:
        """Store the candidates of each key. One round trip."""
        values = [_JSON.dump_json(found, exclude_defaults=True) for found in captions]
        self.put_bytes(keys, values)
