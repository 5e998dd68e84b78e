"""Candidate captions in Redis, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from pydantic import TypeAdapter

from schemas import Caption
from workers.stores import redis_client
from workers.stores.captions import CaptionCache, CaptionKey

if TYPE_CHECKING:
    import redis

TTL_S = 7 * 24 * 3600
"""As long as the stages' topics are kept: a replay within that time asks no model again."""

_JSON = TypeAdapter(tuple[Caption, ...])


class RedisCaptions(CaptionCache):
    """One string per picture, captioner and context: the candidates as a JSON list.

    `ttl_s` seconds after they were written they are forgotten.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, *, ttl_s: int = TTL_S) -> None:
        self._client = client
        self._prefix = key_prefix
        self._ttl_s = ttl_s

    def get(self, keys: Sequence[CaptionKey]) -> list[tuple[Caption, ...] | None]:
        """The stored candidates, or None. One round trip."""
        if not keys:
            return []
        with redis_client.translated():
            values = cast("list[bytes | None]", self._client.mget([self._key(key) for key in keys]))
        return [None if value is None else _JSON.validate_json(value) for value in values]

    def put(self, keys: Sequence[CaptionKey], captions: Sequence[tuple[Caption, ...]]) -> None:
        """Store candidates. One round trip."""
        if not keys and not captions:
            return
        with redis_client.translated(), self._client.pipeline(transaction=False) as pipe:
            for key, found in zip(keys, captions, strict=True):
                pipe.set(
                    self._key(key), _JSON.dump_json(found, exclude_defaults=True), ex=self._ttl_s
                )
            pipe.execute()

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""
        return redis_client.answers(self._client)

    def _key(self, key: CaptionKey) -> bytes:
        return redis_client.cache_key(self._prefix, "cap", key.sha256, key.captioner, key.context)
