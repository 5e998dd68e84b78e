"""Owners of claims in 13 bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from kaption.connections.errors import Retry
from kaption.schemas import Position
from kaption.workers.stores.client import redis_errors

if TYPE_CHECKING:
    import redis

OWNER_BYTES = 13
NOBODY = bytes(OWNER_BYTES)
_OFFSET_BITS = 48


class Owners:
    """Packs an owner as 4 bytes for its topic, 3 for its partition and 6 for its offset.

    The topic's bytes are the start of a sha256 of its name and id, so that workers need not agree
    on a number. The names are kept in a Redis hash. Every claim writes them (`names`), as a Redis
    that was emptied has lost them. Any thread may call it.
    """

    def __init__(self, client: redis.Redis, key: str) -> None:
        self._client = client
        self.key = key
        self._codes: dict[tuple[str, str | None], bytes] = {}
        self._topics: dict[bytes, tuple[str, str | None]] = {}

    def packed(self, owners: Sequence[Position]) -> list[bytes]:
        """Raises OverflowError on a partition above 2^24 or an offset above 2^48."""
        return [
            (self._codes.get((each.topic, each.topic_id)) or self._code(each))
            + (each.partition << _OFFSET_BITS | each.offset).to_bytes(OWNER_BYTES - 4, "big")
            for each in owners
        ]

    def names(self, packed: Sequence[bytes]) -> Iterator[bytes]:
        """The code and the name of each topic in these owners, in turn."""
        for code in {each[:4] for each in packed}:
            topic, topic_id = self._topics[code]
            yield code
            yield (f"{topic}/{topic_id}" if topic_id else topic).encode()

    def unpacked(self, owner: bytes) -> Position:
        """The owner. Raises Retry when Redis does not know its topic."""
        topic = self._topics.get(owner[:4]) or self._known(owner[:4])
        place = int.from_bytes(owner[4:], "big")
        return Position(topic[0], place >> _OFFSET_BITS, place % (1 << _OFFSET_BITS), topic[1])

    def _code(self, owner: Position) -> bytes:
        topic = (owner.topic, owner.topic_id)
        code = hashlib.sha256(repr(topic).encode()).digest()[:4]
        self._topics[code] = topic
        self._codes[topic] = code
        return code

    def _known(self, code: bytes) -> tuple[str, str | None]:
        with redis_errors():
            names = cast("dict[bytes, bytes]", self._client.hgetall(self.key))
        for each, name in names.items():
            topic, _, topic_id = name.decode().partition("/")
            self._topics[each] = (topic, topic_id or None)
        if code not in self._topics:
            raise Retry("Redis was emptied during a look-up of claims")
        return self._topics[code]
