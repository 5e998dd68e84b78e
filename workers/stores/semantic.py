"""Claims on what images show: the embeddings of kept images, in Redis and in each worker."""

from __future__ import annotations

import hashlib
import secrets
import struct
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple, cast

from kaption.connections.errors import Retry
from kaption.workers.stores.client import redis_errors
from kaption.workers.stores.embeddings import unit
from kaption.workers.stores.footprint import Footprint, Forgetful
from kaption.workers.stores.image_cache import TTL_S

if TYPE_CHECKING:
    import numpy as np
    import redis
    from numpy.typing import NDArray

READ = 4096
"""Entries in one answer: 4 MB of embeddings of 512 numbers."""
ROUNDS = 64
"""Reads before a claim gives up with Retry, because other workers kept images meanwhile."""
_HEAD = struct.Struct(">32sH")


class ClaimedImage(NamedTuple):
    """An image that is claimed."""

    sha256: str
    """The sha256 of the stored image."""
    owner: str
    """The origin that holds the claims on the image."""
    pair_id: str


class Neighbour(NamedTuple):
    """The kept image that is nearest to another one."""

    pair_id: str
    cosine: float

    def __str__(self) -> str:
        return f"of {self.pair_id} with cosine {self.cosine:.4f}"


class SemanticClaims(Forgetful):
    """The embeddings of the last `size` kept images. No two of them are nearer than `cosine`.

    They are one log for each scorer: a sorted set whose scores are numbers 1, 2, 3 ... Each worker
    holds a copy of it, reads what is new since its last look, and compares a batch with all of it
    in one matrix product. It then appends the batch's free images if the log is still as it was
    read, else it reads and compares again. The claim is thus one atomic decision, and racing
    workers agree. An owner whose image is in the log gets it again; an image that is refused
    leaves nothing.

    Hash tables of random hyperplanes in Redis were rejected: at a cosine of 0.9 they find three of
    four neighbours, they need a centre that all workers agree on, and a bucket grows with the log.
    Here an image costs its own entry once for each worker, however many are kept.

    An entry has 2 d bytes of float16, the sha256, the owner and the pair_id: about 1.3 kB in Redis
    for d = 512. A worker holds up to 8 d bytes for each. The oldest leave a full log, and a log
    expires `TTL_S` seconds after its last image.

    Every method raises Retry when Redis is down. One thread calls `claim`.
    """

    def __init__(self, client: redis.Redis, key_prefix: str, cosine: float, size: int) -> None:
        self._client = client
        # With a hash tag, because the scripts touch several keys.
        self._prefix = f"{{{key_prefix}}}semantic:"
        self._cosine = cosine
        self._size = size
        self._copies: dict[str, _Copy] = {}
        lua = files("kaption.workers.stores")
        self._look = client.register_script((lua / "semantic_look.lua").read_text("utf-8"))
        self._keep = client.register_script((lua / "semantic_keep.lua").read_text("utf-8"))

    def claim(
        self, scorer: tuple[str, str], images: Sequence[ClaimedImage], rows: NDArray[np.float32]
    ) -> list[Neighbour | None]:
        """Claim each image by its embedding: unit rows of shape (n, d).

        `scorer` is a revision and a preprocessing. Returns None for an image that is now kept, else
        the nearest kept one. Two round trips, and more where other workers keep images meanwhile.
        """
        key = self._prefix + hashlib.blake2b("\0".join(scorer).encode(), digest_size=16).hexdigest()
        if key not in self._copies:
            self._copies[key] = _Copy(self._size, rows.shape[1])
        copy = self._copies[key]
        for _ in range(ROUNDS):
            self._read(key, copy)
            found, free = self._compared(copy, images, rows)
            if not free:
                return found
            entries = [_packed(images[at], rows[at]) for at in free]
            known = (copy.last, copy.edition, secrets.token_hex(8), self._size, TTL_S)
            with redis_errors():
                kept = self._keep(
                    keys=[f"{key}:state", key, f"{self._prefix}logs"], args=[*known, *entries]
                )
            if kept:
                return found
        raise Retry(f"semantic claims: other workers kept images during each of {ROUNDS} tries")

    def forget(self, footprints: Sequence[Footprint], *, dry_run: bool = False) -> int:
        """Remove the images from all logs. It reads each log once."""
        sha256s = {bytes.fromhex(each.sha256) for each in footprints if each.sha256 is not None}
        owners = {each.owner for each in footprints if each.owner is not None}
        if not sha256s | owners:
            return 0
        found = 0
        with redis_errors():
            keys = cast("set[bytes]", self._client.smembers(f"{self._prefix}logs"))
        for key in (each.decode() for each in keys):
            gone = [
                member
                for entries, _, _ in self._looks(key, 0)
                for member, _ in entries
                for sha256, owner, _ in [_names(member)]
                if sha256 in sha256s or owner in owners
            ]
            found += len(gone)
            if gone and not dry_run:
                with redis_errors(), self._client.pipeline(transaction=False) as pipe:
                    pipe.zrem(key, *gone)
                    # A new edition makes workers read the log from its beginning.
                    pipe.hset(f"{key}:state", "edition", secrets.token_hex(8))
                    pipe.execute()
        return found

    def _compared(
        self, copy: _Copy, images: Sequence[ClaimedImage], rows: NDArray[np.float32]
    ) -> tuple[list[Neighbour | None], list[int]]:
        """The nearest kept image of each, and the indices of those to be kept."""
        import numpy as np

        cosines, own = rows @ copy.rows.T, rows @ rows.T
        owners: set[str] = set()
        free: list[int] = []
        found: list[Neighbour | None] = []
        for at, image in enumerate(images):
            near = []
            if copy.pair_ids:
                best = int(cosines[at].argmax())
                near.append(Neighbour(copy.pair_ids[best], float(cosines[at, best])))
            if free:
                best = free[int(own[at, free].argmax())]
                near.append(Neighbour(images[best].pair_id, float(own[at, best])))
            nearest = max(near, key=lambda each: each.cosine, default=None)
            held = image.owner in copy.owners or image.owner in owners
            if not held and nearest is not None and nearest.cosine >= self._cosine:
                found.append(nearest)
                continue
            found.append(None)
            if not held and np.isfinite(rows[at]).all():  # the log outlives a broken scorer
                free.append(at)
                owners.add(image.owner)
        return found, free

    def _read(self, key: str, copy: _Copy) -> None:
        """Bring the copy up to date."""
        for entries, last, edition in self._looks(key, copy.last):
            if edition != copy.edition or last < copy.last:
                copy.clear(edition)
                self._read(key, copy)
                return
            copy.add(entries, last)

    def _looks(
        self, key: str, after: int
    ) -> Iterator[tuple[Sequence[tuple[bytes, int]], int, str]]:
        """Entries after a number with their numbers, the number read up to, and the edition."""
        more = True
        while more:
            with redis_errors():
                last, edition, listed = self._look(keys=[f"{key}:state", key], args=[after, READ])
            entries = list(zip(listed[::2], map(int, listed[1::2]), strict=True))
            more = len(entries) == READ
            after = entries[-1][1] if more else int(last)
            yield entries, after, edition.decode()


class _Copy:
    """A worker's copy of a log whose embeddings have d numbers."""

    def __init__(self, size: int, d: int) -> None:
        self._size = size
        self._d = d
        self.clear("0")

    def clear(self, edition: str) -> None:
        """Forget all entries. The log has this edition: it changes when entries are taken out."""
        import numpy as np

        self.last = 0
        self.edition = edition
        self.pair_ids: list[str] = []
        self.owners: dict[str, None] = {}
        self._buffer = np.empty((256, self._d), np.float32)

    @property
    def rows(self) -> NDArray[np.float32]:
        """The embeddings, of shape (m, d)."""
        return self._buffer[: len(self.pair_ids)]

    def add(self, entries: Sequence[tuple[bytes, int]], last: int) -> None:
        """Add what the log has up to the number `last`. The oldest leave a full copy."""
        import numpy as np

        self.last = last
        if not entries:
            return
        new = [_names(member) for member, _ in entries]
        data = b"".join(member[-2 * self._d :] for member, _ in entries)
        rows = unit(np.frombuffer(data, "<f2").reshape(-1, self._d))
        held = len(self.pair_ids)
        if held + len(new) > len(self._buffer):
            kept = self.rows[-self._size :]
            self._buffer = np.empty((2 * (len(kept) + len(new)), self._d), np.float32)
            self._buffer[: len(kept)] = kept
            for owner in list(self.owners)[: held - len(kept)]:
                del self.owners[owner]
            self.pair_ids, held = self.pair_ids[-self._size :], len(kept)
        self._buffer[held : held + len(new)] = rows
        self.owners |= dict.fromkeys(owner for _, owner, _ in new)
        self.pair_ids += [pair_id for _, _, pair_id in new]


def _packed(image: ClaimedImage, row: NDArray[np.float32]) -> bytes:
    names = f"{image.owner}\0{image.pair_id}".encode("utf-8", "surrogatepass")
    return _HEAD.pack(bytes.fromhex(image.sha256), len(names)) + names + row.astype("<f2").tobytes()


def _names(member: bytes) -> tuple[bytes, str, str]:
    """The sha256, the owner and the pair_id."""
    sha256, length = _HEAD.unpack_from(member)
    names = member[_HEAD.size : _HEAD.size + length].decode("utf-8", "surrogatepass")
    owner, _, pair_id = names.partition("\0")
    return sha256, owner, pair_id
