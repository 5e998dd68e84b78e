"""Claims on the bytes of images."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from kaption.connections.errors import Fatal, Retry
from kaption.schemas import Position
from kaption.workers.stores.client import redis_errors
from kaption.workers.stores.owners import NOBODY, OWNER_BYTES, Owners

if TYPE_CHECKING:
    import redis

FULL = 96
"""Claims of a full bucket. Redis 7 stores a hash of up to 128 short fields as one compact block."""
CHUNK = 1000
"""Claims of one script: other workers wait for its end, about 5 ms."""


class ExactClaims:
    """An owner for each sha256, in about 32 bytes of Redis.

    The key is 96 bits of the sha256: among 10^10 images the odds of any two with one key are 10^-9.
    The scripts are atomic, so of racing workers one gets the claim. `place` is the place of this
    server among `servers`. Each call tells the server their number, and it remembers the highest.
    Every method raises Retry when Redis is down, and when the server knows of more servers than
    this worker does: claims may then lie where the worker does not look.
    """

    def __init__(
        self, client: redis.Redis, prefix: str, owners: Owners, place: int = 0, servers: int = 1
    ) -> None:
        self._prefix = prefix
        self._owners = owners
        self._known = (place, servers)
        lua = files("kaption.workers.stores") / "exact_claims.lua"
        self._script = client.register_script(lua.read_text("utf-8"))

    def holders(self, sha256s: Sequence[str]) -> list[Position | None]:
        """The owner of each sha256, or None. Claims nothing."""
        return [
            None if owner == NOBODY else self._owners.unpacked(owner)
            for start in range(0, len(sha256s), CHUNK)
            for owner in _parts(self._run("look", sha256s[start : start + CHUNK], []))
        ]

    def claim(self, sha256s: Sequence[str], owners: Sequence[Position]) -> list[Position]:
        """Claim each sha256. Returns its owner: the given one, or an earlier one.

        Of two equal hashes in one call the first gets the claim.
        """
        holders: list[Position] = []
        for start in range(0, len(sha256s), CHUNK):
            chunk = owners[start : start + CHUNK]
            packed = self._owners.packed(chunk)
            answer = self._run("claim", sha256s[start : start + CHUNK], packed)
            holders += [
                owner if holder == mine else self._owners.unpacked(holder)
                for owner, mine, holder in zip(chunk, packed, _parts(answer), strict=True)
            ]
        return holders

    def forget(self, held: Sequence[tuple[str, Position | None]], *, dry_run: bool) -> int:
        """Remove the claims on these sha256 that these owners hold; None: whoever holds it."""
        owners = [NOBODY if owner is None else self._owners.packed([owner])[0] for _, owner in held]
        return sum(
            self._run(
                "count" if dry_run else "forget",
                [sha256 for sha256, _ in held[start : start + CHUNK]],
                owners[start : start + CHUNK],
            )
            for start in range(0, len(held), CHUNK)
        )

    def _run(self, what: str, sha256s: Sequence[str], owners: Sequence[bytes]) -> Any:
        """What the script returns."""
        fields = b"".join([bytes.fromhex(sha256)[4:16] for sha256 in sha256s])
        names = self._owners.names(owners) if what == "claim" else ()
        keys = [f"{self._prefix}buckets", self._owners.key, f"{self._prefix}servers"]
        args = [f"{self._prefix}n", what, FULL, fields, b"".join(owners), *self._known, *names]
        with redis_errors():
            answer = self._script(keys=keys, args=args)
        if isinstance(answer, list):
            raise self._refused(answer[0].decode())
        return answer

    def _refused(self, heard: str) -> Retry | Fatal:
        place, servers = heard.split("/")
        if place != str(self._known[0]):
            return Fatal(
                f"redis.claim_urls names a server at place {self._known[0]} that has claims of "
                f"place {place} (redis.url is 0): put the servers in their old order"
            )
        return Retry(
            f"claims are spread over {servers} Redis servers, and this worker knows "
            f"{self._known[1]}: start it again with all of them in redis.claim_urls"
        )


def _parts(owners: bytes) -> list[bytes]:
    return [owners[at : at + OWNER_BYTES] for at in range(0, len(owners), OWNER_BYTES)]
