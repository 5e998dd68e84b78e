"""First answers of URLs in Redis, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, cast

from pydantic import TypeAdapter

from kaption.schemas import ImageRef, Position, Reason
from kaption.schemas.limits import Name
from kaption.schemas.record import Record
from kaption.workers.stores import client as redis_client
from kaption.workers.stores.footprint import Footprint, Forgetful

if TYPE_CHECKING:
    import redis


class Refusal(Record):
    """The URL gave nothing that can be used, or an image that another origin holds."""

    reason: Reason
    detail: str = ""
    delivery: Name
    """Position of the message that was refused: a replay of the record stands elsewhere, and asks
    the URL again."""


Answer = ImageRef | Refusal
"""Of an image all that ingest needs to make the same pair again: its bytes are in the blob store
before it is remembered."""


REFUSAL_TTL_S = 3600
"""A refused record has claimed nothing. Its refusal only has to outlive the batches of other
workers that fetched an image for the same delivery and have not claimed it yet."""

_JSON: TypeAdapter[Answer] = TypeAdapter(Answer)


class Answers(Forgetful):
    """One string per origin, `ttl_s` seconds for images: as long as pairs.raw is kept, because
    nothing is delivered again after that.

    Some 600 bytes for an image, URL included. A server that evicts keys with a TTL (volatile-*)
    may drop some of them when it is full; the dedup claims then still hold.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, *, ttl_s: int) -> None:
        self._client = client
        self._prefix = key_prefix
        self._ttl_s = ttl_s
        lua = files("kaption.workers.stores") / "first_answer.lua"
        self._first = client.register_script(lua.read_text("utf-8"))

    def get(self, origin: Position, delivery: Position) -> Answer | None:
        """What is remembered, or None. One round trip."""
        with redis_client.translated():
            held = cast("bytes | None", self._client.get(self._key(origin)))
        if held is None:
            return None
        answer = _JSON.validate_json(held)
        if isinstance(answer, Refusal) and answer.delivery != str(delivery):
            return None
        return answer

    def first(
        self, origins: Sequence[Position], deliveries: Sequence[Position], found: Sequence[Answer]
    ) -> list[Answer]:
        """What is remembered from now on. Two round trips."""
        if not origins and not found:
            return []
        with redis_client.translated(), self._client.pipeline(transaction=False) as pipe:
            for origin, delivery, answer in zip(origins, deliveries, found, strict=True):
                ttl_s = REFUSAL_TTL_S if isinstance(answer, Refusal) else self._ttl_s
                # SET NX and GET would do, but for a replay that supersedes a refusal.
                self._first(
                    keys=[self._key(origin)],
                    args=[_JSON.dump_json(answer, exclude_defaults=True), ttl_s, str(delivery)],
                    client=pipe,
                )
            held = cast("list[bytes]", pipe.execute())
        return [_JSON.validate_json(answer) for answer in held]

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool = False) -> int:
        """Remove what the owners' URLs gave. One round trip."""
        keys = {f"{self._prefix}url:{each.owner}" for each in footprints if each.owner is not None}
        if not keys:
            return 0
        with redis_client.translated():
            call = self._client.exists if dry_run else self._client.delete
            return call(*keys)

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""
        return redis_client.answers(self._client)

    def _key(self, origin: Position) -> str:
        return f"{self._prefix}url:{origin}"
