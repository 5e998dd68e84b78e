"""Caches the text that OCR read in images, as JSON in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from kaption.schemas import OcrText
from kaption.workers.stores.image_cache import TTL_S, ImageCache

if TYPE_CHECKING:
    import redis

_JSON = TypeAdapter(tuple[OcrText, ...])


class OcrCache(ImageCache):
    """Lines of text by the stored image's sha256 and the revision of the reader.

    An image without text has an empty list, so that it is not read again.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, *, ttl_s: int = TTL_S) -> None:
        super().__init__(client, key_prefix, "ocr", ttl_s)

    def get(self, sha256: str, revision: str) -> tuple[OcrText, ...] | None:
        """The lines, or None if they are not cached. One round trip."""
        (value,) = self.get_bytes([(sha256, revision)])
        return None if value is None else _JSON.validate_json(value)

    def put(self, sha256: str, revision: str, lines: Sequence[OcrText]) -> None:
        """Store the lines. One round trip."""
        value = _JSON.dump_json(tuple(lines), exclude_defaults=True)
        self.put_bytes([(sha256, revision)], [value])
