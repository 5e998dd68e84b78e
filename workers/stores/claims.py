"""Which person judges which pair of the audit now, in Redis."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from math import ceil
from typing import TYPE_CHECKING, cast

from kaption.connections.errors import Retry
from kaption.workers.stores.client import redis_errors

if TYPE_CHECKING:
    import redis

SKIP_S = 24 * 3600
"""How long a pair that a person skipped is not shown to the same person again."""
_LOCK_S = 90.0
"""Longer than a decision takes: three times Kafka's deadline of 20 s at most."""
_DONE = b"!"
"""Begins the claim of a person who has decided; no name of a person has it."""
_DONE_S = 60
"""How long a claim outlives its decision, so that no server that reads late shows the pair."""
_KEY_BYTES = 32


class AuditClaims:
    """A claim is one string that expires; so are the pair where a person is, and what was skipped.

    With an empty Redis people may get pairs that others have before them, and the first to decide
    takes the claim. Every method raises Retry when Redis is down. Any thread may call them.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, claim_s: float) -> None:
        self._client = client
        self._prefix = f"{key_prefix}audit:"
        self._claim_s = ceil(claim_s)
        lua = files("kaption.workers.stores") / "hold_claim.lua"
        self._hold = client.register_script(lua.read_text("utf-8"))

    def key(self) -> bytes:
        """A secret that all servers share. It is made at the first call, and with Redis it is lost:
        then everybody logs in again.
        """
        import secrets

        name = f"{self._prefix}key"
        with redis_errors():
            self._client.set(name, secrets.token_bytes(_KEY_BYTES), nx=True)
            return cast(bytes, self._client.get(name))

    def free(self, by: str, pair_ids: Sequence[str]) -> list[str]:
        """The pairs that nobody else has claimed and that the person has not skipped."""
        if not pair_ids:
            return []
        names = [self._claim(pair_id) for pair_id in pair_ids]
        names += [self._skip(by, pair_id) for pair_id in pair_ids]
        with redis_errors():
            found = cast("list[bytes | None]", self._client.mget(names))
        claims, skipped = found[: len(pair_ids)], found[len(pair_ids) :]
        rows = zip(pair_ids, claims, skipped, strict=True)
        return [name for name, held, skip in rows if held in (None, by.encode()) and skip is None]

    def hold(self, by: str, pair_id: str, *, undone: bool = False) -> bool:
        """Claim the pair, or claim it for longer. False: another person has it.

        `undone`: the person took a decision back, so the pair waits whoever decided about it last.
        """
        args: list[bytes | float] = [by.encode(), self._claim_s, int(undone)]
        with redis_errors():
            held = bool(self._hold(keys=[self._claim(pair_id)], args=args))
            if held:
                self._client.set(self._place(by), pair_id, ex=self._claim_s)
            if undone:
                self._client.delete(self._skip(by, pair_id))
        return held

    def holder(self, pair_id: str) -> str | None:
        """The person who judges the pair now, or did a moment ago."""
        with redis_errors():
            found = cast("bytes | None", self._client.get(self._claim(pair_id)))
        return None if found is None else found.removeprefix(_DONE).decode()

    def place(self, by: str) -> str | None:
        """The pair that the person has claimed last."""
        with redis_errors():
            found = cast("bytes | None", self._client.get(self._place(by)))
        return None if found is None else found.decode()

    def skip(self, by: str, pair_id: str) -> None:
        """Give the pair to others, and not to this person for a day."""
        with redis_errors():
            self._client.set(self._skip(by, pair_id), b"1", ex=SKIP_S)
            if self._client.get(self._claim(pair_id)) == by.encode():
                self._client.delete(self._claim(pair_id), self._place(by))

    def done(self, by: str, pair_id: str, *, more: bool) -> None:
        """End a claim after its decision. `more`: the pair waits for another person too."""
        with redis_errors():
            if more:
                self._client.set(self._skip(by, pair_id), b"1", ex=_DONE_S)
                self._client.delete(self._claim(pair_id))
            else:
                self._client.set(self._claim(pair_id), _DONE + by.encode(), ex=_DONE_S)
            self._client.delete(self._place(by))

    @contextmanager
    def locked(self, pair_id: str) -> Iterator[None]:
        """Keep other servers from deciding about the pair. Raises Retry where one takes long."""
        from redis.exceptions import LockError

        with redis_errors():
            lock = self._client.lock(f"{self._prefix}lock:{_digest(pair_id)}", timeout=_LOCK_S)
            if not lock.acquire(blocking_timeout=_LOCK_S / 2):
                raise Retry("another decision about this pair is being written")
        try:
            yield
        finally:
            try:
                with redis_errors():
                    lock.release()
            except LockError:
                pass  # it has expired

    def _claim(self, pair_id: str) -> str:
        return f"{self._prefix}claim:{_digest(pair_id)}"

    def _skip(self, by: str, pair_id: str) -> str:
        return f"{self._prefix}skip:{_digest(by)}:{_digest(pair_id)}"

    def _place(self, by: str) -> str:
        return f"{self._prefix}place:{_digest(by)}"


def _digest(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
