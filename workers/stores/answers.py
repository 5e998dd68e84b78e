"""Remembers the first answer of each record's image URL, as JSON in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, cast

from pydantic import TypeAdapter

from kaption.schemas import ImageRef, OptOutSignal, Position, Reason
from kaption.schemas.image import Base64
from kaption.schemas.limits import Name
from kaption.schemas.record import Record
from kaption.workers.stores.client import forget_keys, redis_errors
from kaption.workers.stores.footprint import Footprint, Forgetful

if TYPE_CHECKING:
    import redis


class Refusal(Record):
    """The URL gave no usable image, or an image that another origin holds."""

    reason: Reason
    detail: str = ""
    delivery: Name
    """Position of the refused message. A replayed record has another position, so the refusal does
    not count for it, and ingest fetches the URL again."""


class SketchedImage(ImageRef):
    """The reference to an image, with what else ingest found of it."""

    sketch: Base64 | None = None
    """`Likeness.sketch`. None for an image that is compared by its bytes alone."""
    opt_out: tuple[OptOutSignal, ...] = ()
    """Signals at the image itself that did not lead to a refusal."""

    def reference(self) -> ImageRef:
        """The part that the record carries as its image."""
        return ImageRef(**{name: getattr(self, name) for name in ImageRef.model_fields})


Answer = SketchedImage | Refusal
"""The reference to an image has all that ingest needs to make the same pair again. The image is in
the blob store before the answer is remembered."""


REFUSAL_TTL_S = 3600
"""Seconds. A refused record holds no claims. Its refusal must only outlive the batches of other
workers that fetched an image for the same delivery and have not claimed it yet."""

_JSON: TypeAdapter[Answer] = TypeAdapter(Answer)


class Answers(Forgetful):
    """What the URL of a record gave first, so that each of its deliveries gives the same.

    One string for each origin, about 0.8 kB for an image. An image is remembered
    for `ttl_s` seconds: longer than a record may be delivered again. A full server that evicts keys
    with a TTL (volatile-*) may drop answers; the dedup claims still hold then.

    Every method raises Retry when Redis is down. Any thread may call them.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, *, ttl_s: int) -> None:
        self._client = client
        self._prefix = key_prefix
        self._ttl_s = ttl_s
        lua = files("kaption.workers.stores") / "first_answer.lua"
        self._first = client.register_script(lua.read_text("utf-8"))

    def get(self, origin: Position, delivery: Position) -> Answer | None:
        """The remembered answer that counts for this delivery, or None. One round trip."""
        with redis_errors():
            held = cast("bytes | None", self._client.get(self._key(origin)))
        if held is None:
            return None
        answer = _JSON.validate_json(held)
        if isinstance(answer, Refusal) and answer.delivery != str(delivery):
            return None
        return answer

    def images(self, origins: Sequence[str]) -> list[str | None]:
        """The sha256 of the stored image that each origin's URL gave, if it is remembered.

        One round trip.
        """
        if not origins:
            return []
        with redis_errors():
            names = [f"{self._prefix}url:{origin}" for origin in origins]
            held = cast("list[bytes | None]", self._client.mget(names))
        answers = [each and _JSON.validate_json(each) for each in held]
        return [it.blob.sha256 if isinstance(it, SketchedImage) else None for it in answers]

    def first(
        self, origins: Sequence[Position], deliveries: Sequence[Position], found: Sequence[Answer]
    ) -> list[Answer]:
        """Remember each origin's answer if it has none. Returns the answers that count.

        The first answer counts for every delivery and every worker. A refusal counts for its own
        delivery only: the answer of another delivery replaces it. Two round trips.
        """
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for origin, delivery, answer in zip(origins, deliveries, found, strict=True):
                ttl_s = REFUSAL_TTL_S if isinstance(answer, Refusal) else self._ttl_s
                # A script, because SET NX cannot replace the refusal of an earlier delivery.
                self._first(
                    keys=[self._key(origin)],
                    args=[_JSON.dump_json(answer, exclude_defaults=True), ttl_s, str(delivery)],
                    client=pipe,
                )
            held = cast("list[bytes]", pipe.execute())
        return [_JSON.validate_json(answer) for answer in held]

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool = False) -> int:
        """Remove the answers of the owners' URLs. One round trip."""
        keys = {f"{self._prefix}url:{each.owner}" for each in footprints if each.owner is not None}
        return forget_keys(self._client, keys, dry_run=dry_run)

    def _key(self, origin: Position) -> str:
        return f"{self._prefix}url:{origin}"
