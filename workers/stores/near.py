"""Claims on perceptual hashes. No two kept hashes lie within the configured distance."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, cast

from kaption.connections.errors import Retry
from kaption.schemas import Position
from kaption.workers.stores.client import redis_errors

if TYPE_CHECKING:
    import redis

CHUNK = 64
"""Claims in one look. With 1 M entries in Redis the answer of a look has about 1 MB."""
RECENT = 4096
"""A look is repeated if other workers kept more than this many entries after it."""
ROUNDS = 32
"""Looks before a claim gives up with Retry."""


class NearClaims:
    """The set of kept 64-bit hashes, with an owner and a sequence number for each.

    *Look.* A hash is split into four bands of 16 bits, and each band's value names a list of
    entries. Two hashes that differ by more than radius r_i in every band i have a distance of at
    least sum(r_i + 1). A look therefore probes max(0, d - 3) bands with radius 1 (17 lists each)
    and the other bands exactly, and finds every entry within distance d <= 7. (Norouzi, Punjani,
    Fleet: Fast exact search in Hamming space with multi-index hashing, 2014.)

    *Decision.* A look reads the lists and the sequence number in one atomic script. The distances
    are computed here, because Redis has one thread and the workers have many. A hit is final: kept
    entries stay, the lowest sequence number wins, and later entries have higher numbers. Without a
    hit a second script compares the hash with the few entries that are newer than the look, and
    then keeps it. The claim is thus one atomic decision, and racing workers agree.

    *Takedown.* `forget` removes the entry of one owner atomically. If a look found that entry and
    its owner is gone when it is read, the claim raises Retry.

    *Repetition.* A kept hash excludes all others within the distance, so its owner always finds
    itself. A refused claim writes nothing and finds the same lowest number again. A worker may die
    between the two scripts, because the look writes nothing.

    An entry takes 16 bytes in each band and a short hash field for its owner: about 150 bytes.
    """

    def __init__(self, client: redis.Redis, prefix: str, distance: int) -> None:
        self._client = client
        self._prefix = prefix
        self._distance = distance
        self._sequence = f"{prefix}sequence"
        self._recent = f"{prefix}recent"
        lua = files("kaption.workers.stores")
        self._look = client.register_script((lua / "near_look.lua").read_text("utf-8"))
        self._keep = client.register_script((lua / "near_keep.lua").read_text("utf-8"))
        self._forget = client.register_script((lua / "near_forget.lua").read_text("utf-8"))

    def claim(self, hashes: Sequence[int], owners: Sequence[Position]) -> list[Position]:
        """Claim each hash. Returns the given owner, or the owner of the earliest entry near it.

        Raises ValueError on a hash that is not an unsigned 64-bit number, Retry when Redis is down.
        """
        if any(not 0 <= number < 1 << 64 for number in hashes):
            raise ValueError("a perceptual hash is an unsigned 64-bit number")
        wanted = [
            (number.to_bytes(8, "big"), owner) for number, owner in zip(hashes, owners, strict=True)
        ]
        holders: list[Position] = []
        for start in range(0, len(wanted), CHUNK):
            holders += self._claim_chunk(wanted[start : start + CHUNK])
        return holders

    def forget(self, held: Sequence[tuple[int, str]], *, dry_run: bool) -> int:
        """Remove the entries of these hashes that these owners hold. Returns how many there were.

        One round trip for every `CHUNK`. `dry_run` only counts. Raises Retry when Redis is down.
        """
        found = 0
        for start in range(0, len(held), CHUNK):
            chunk = held[start : start + CHUNK]
            items = [part for number, owner in chunk for part in (number.to_bytes(8, "big"), owner)]
            with redis_errors():
                found += int(
                    self._forget(keys=[self._recent], args=[self._prefix, int(dry_run), *items])
                )
        return found

    def _claim_chunk(self, wanted: Sequence[tuple[bytes, Position]]) -> list[Position]:
        holders: dict[int, Position] = {}
        for _ in range(ROUNDS):
            open_ = [index for index in range(len(wanted)) if index not in holders]
            seen, hits = self._hits([wanted[index][0] for index in open_])
            found = {index: hit for index, hit in zip(open_, hits, strict=True) if hit is not None}
            owners = self._owners(list(found.values()))
            holders |= zip(found, owners, strict=True)
            free = [index for index in open_ if index not in found]
            kept = self._keep_free(seen, [wanted[index] for index in free])
            if kept is not None:
                holders |= zip(free, kept, strict=True)
                return [holders[index] for index in range(len(wanted))]
        raise Retry(
            f"near-duplicate claims: other workers kept over {RECENT} entries during each of "
            f"{ROUNDS} tries"
        )

    def _hits(self, hashes: Sequence[bytes]) -> tuple[int, list[int | None]]:
        """The sequence number of the look, and for each hash that of the earliest entry near it."""
        import numpy as np

        wide = max(0, self._distance - 3)
        with redis_errors():
            answer = cast(
                "list[bytes]",
                self._look(keys=[self._sequence], args=[self._prefix, wide, *hashes]),
            )
        hits: list[int | None] = []
        for raw, listed in zip(hashes, answer[1:], strict=True):
            entries = np.frombuffer(listed, dtype=">u8").reshape(-1, 2)
            differing = entries[:, 0] ^ np.frombuffer(raw, dtype=">u8")
            near = np.bitwise_count(differing) <= self._distance
            hits.append(int(entries[near, 1].min()) if near.any() else None)
        return int(answer[0]), hits

    def _keep_free(
        self, seen: int, free: Sequence[tuple[bytes, Position]]
    ) -> list[Position] | None:
        if not free:
            return []
        items = [part for raw, owner in free for part in (raw, str(owner))]
        with redis_errors():
            kept = self._keep(
                keys=[self._sequence, self._recent],
                args=[self._prefix, seen, self._distance, RECENT, *items],
            )
        return None if kept is None else [Position.parse(holder.decode()) for holder in kept]

    def _owners(self, sequences: Sequence[int]) -> list[Position]:
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for number in sequences:
                pipe.hget(f"{self._prefix}owner:{number // 256}", str(number % 256))
            answers = cast("list[bytes | None]", pipe.execute())
        return [_position(answer) for answer in answers]


def _position(owner: bytes | None) -> Position:
    if owner is None:
        raise Retry("a near-duplicate was taken down, or Redis was emptied, during its look-up")
    return Position.parse(owner.decode())
