"""Claims on images that look alike. No two kept images are alike."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

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


CANDIDATES = 128
"""Kept images with near hashes whose sketches a look reads, at most: 93 kB for each claim."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """By what an image is compared with others (`kaption.workers.decode.likeness`)."""

    hash: int
    """64 bits. Images that look alike have near hashes."""
    sketch: bytes
    """A small picture. `alike` decides by two of them whether their images are one."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    hash: bytes
    check: bytes
    sketch: bytes
    owner: Position


class NearClaims:
    """The set of kept images, with a hash, a sketch, an owner and a sequence number for each.

    *Look.* A 64-bit hash is split into four bands of 16 bits, and each band's value names a list of
    entries. Two hashes that differ by more than radius r_i in every band i have a distance of at
    least sum(r_i + 1). A look therefore probes max(0, d - 3) bands with radius 1 (17 lists each)
    and the other bands exactly, and finds every entry within distance d <= 7. (Norouzi, Punjani,
    Fleet: Fast exact search in Hamming space with multi-index hashing, 2014.)

    *Judgement.* Images that differ may have near hashes, as logos on a white ground do. The
    sketches of at most `CANDIDATES` entries are read and judged. Entries whose check (16 bits of
    the sketch's CRC) agrees come first, then the nearest.

    *Decision.* A look reads the lists and the sequence number in one atomic script. Distances and
    sketches are judged here, because Redis has one thread and the workers have many. A hit is
    final: kept entries stay, the lowest sequence number wins, and later entries have higher
    numbers. Without a hit a second script keeps the image if no entry near its hash is newer than
    the look; otherwise the image is looked up again. The claim is thus one atomic decision, and
    racing workers agree.

    *Takedown.* `forget` removes the entry of one owner atomically. If a look found that entry and
    its owner is gone when it is read, the claim raises Retry.

    *Repetition.* An owner that holds an entry like its image gets it again, whatever was kept
    since. A worker that dies between the two scripts has written nothing.

    An entry takes 16 bytes in each band, a short hash field for its owner and one for its sketch:
    about 1 kB, of which the sketch has 726 bytes.
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

    def claim(self, images: Sequence[Likeness], owners: Sequence[Position]) -> list[Position]:
        """Claim each image. Returns the given owner, or the owner of the earliest one like it.

        Raises ValueError on a hash that is not an unsigned 64-bit number, Retry when Redis is down.
        """
        if any(not 0 <= image.hash < 1 << 64 for image in images):
            raise ValueError("a perceptual hash is an unsigned 64-bit number")
        wanted = [
            _Wanted(image.hash.to_bytes(8, "big"), _check(image.sketch), image.sketch, owner)
            for image, owner in zip(images, owners, strict=True)
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

    def _claim_chunk(self, wanted: Sequence[_Wanted]) -> list[Position]:
        holders: dict[int, Position] = {}
        for _ in range(ROUNDS):
            open_ = [index for index in range(len(wanted)) if index not in holders]
            seen, hits = self._hits([wanted[index] for index in open_])
            holders |= {i: hit for i, hit in zip(open_, hits, strict=True) if hit is not None}
            free = [index for index in open_ if index not in holders]
            kept = self._keep_free(seen, [wanted[index] for index in free])
            if kept is not None:
                holders |= {i: owner for i, owner in zip(free, kept, strict=True) if owner}
            if len(holders) == len(wanted):
                return [holders[index] for index in range(len(wanted))]
        raise Retry(
            "near-duplicate claims: other workers kept entries near these images, or over "
            f"{RECENT} entries, during each of {ROUNDS} tries"
        )

    def _hits(self, wanted: Sequence[_Wanted]) -> tuple[int, list[Position | None]]:
        """The sequence number of the look, and for each image the owner of one like it."""
        wide = max(0, self._distance - 3)
        with redis_errors():
            answer = cast(
                "list[bytes]",
                self._look(
                    keys=[self._sequence], args=[self._prefix, wide, *(one.hash for one in wanted)]
                ),
            )
        found = [
            self._candidates(one, listed) for one, listed in zip(wanted, answer[1:], strict=True)
        ]
        entries = self._entries(sorted({number for numbers in found for number in numbers}))
        return int(answer[0]), [
            self._holder(one, [entries[number] for number in sorted(numbers)])
            for one, numbers in zip(wanted, found, strict=True)
        ]

    def _candidates(self, one: _Wanted, listed: bytes) -> list[int]:
        """The sequence numbers of the entries to judge."""
        import numpy as np

        raw = np.frombuffer(listed, dtype=">u8").reshape(-1, 2)
        far = np.bitwise_count(raw[:, 0] ^ np.frombuffer(one.hash, dtype=">u8"))
        near = far <= self._distance
        tails, far = raw[near, 1], far[near]
        other = tails >> np.uint64(48) != int.from_bytes(one.check, "big")
        numbers = tails & np.uint64((1 << 48) - 1)
        order = np.lexsort((numbers, far, other))
        return list(dict.fromkeys(numbers[order].tolist()))[:CANDIDATES]

    def _holder(
        self, one: _Wanted, entries: Sequence[tuple[Position | None, bytes | None]]
    ) -> Position | None:
        """The owner itself if it holds an image like this, else the earliest that does."""
        judged = [(owner, sketch) for owner, sketch in entries if sketch is not None]
        if not judged:
            return None
        from kaption.workers.decode.likeness import alike

        like = alike(one.sketch, [sketch for _, sketch in judged])
        holders = [owner for (owner, _), yes in zip(judged, like, strict=True) if yes]
        if None in holders:
            raise Retry("a near-duplicate was taken down, or Redis was emptied, during its look-up")
        return one.owner if one.owner in holders else next(iter(holders), None)

    def _keep_free(self, seen: int, free: Sequence[_Wanted]) -> list[Position | None] | None:
        """The owner of each image, None for one to look up again; None if the look is too old."""
        if not free:
            return []
        items: list[Any] = []
        for at, one in enumerate(free):
            places = ",".join(map(str, self._earlier(one, free[:at])))
            items += [one.hash, one.check, one.sketch, str(one.owner), places]
        with redis_errors():
            kept = self._keep(
                keys=[self._sequence, self._recent],
                args=[self._prefix, seen, self._distance, RECENT, *items],
            )
        if kept is None:
            return None
        return [Position.parse(holder.decode()) if holder else None for holder in kept]

    def _earlier(self, one: _Wanted, before: Sequence[_Wanted]) -> list[int]:
        """The places of the images before this one that are like it."""
        mine = int.from_bytes(one.hash, "big")
        near = [
            at
            for at, other in enumerate(before)
            if (mine ^ int.from_bytes(other.hash, "big")).bit_count() <= self._distance
        ]
        if not near:
            return []
        from kaption.workers.decode.likeness import alike

        like = alike(one.sketch, [before[at].sketch for at in near])
        return [at for at, yes in zip(near, like, strict=True) if yes]

    def _entries(self, numbers: Sequence[int]) -> dict[int, tuple[Position | None, bytes | None]]:
        """The owner and the sketch of each sequence number. One round trip."""
        if not numbers:
            return {}
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for number in numbers:
                for kind in ("owner", "sketch"):
                    pipe.hget(f"{self._prefix}{kind}:{number // 256}", str(number % 256))
            answers = cast("list[bytes | None]", pipe.execute())
        return {
            number: (None if owner is None else Position.parse(owner.decode()), sketch)
            for number, owner, sketch in zip(numbers, answers[::2], answers[1::2], strict=True)
        }


def _check(sketch: bytes) -> bytes:
    return (zlib.crc32(sketch) & 0xFFFF).to_bytes(2, "big")
