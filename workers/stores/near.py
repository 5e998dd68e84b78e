"""Claims on images that look alike. No two kept images are alike."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, cast

from kaption.connections.errors import Retry
from kaption.schemas import Position
from kaption.workers.stores.client import redis_errors
from kaption.workers.stores.near_paths import (
    PATH_BYTES,
    doubts,
    likely_paths,
    own_paths,
    separate,
    unlikeliness,
)
from kaption.workers.stores.near_trees import find_leaves

if TYPE_CHECKING:
    import redis
    from redis.commands.core import Script

    from kaption.workers.stores.near_paths import Floats, Hashes
    from kaption.workers.stores.near_trees import Node

CHUNK = 64
"""Claims in one look."""
LEAF = 64
"""Entries of a leaf. Fewer take more memory and need more paths; more let a look read more."""
LONGEST = 256
"""Entries that a look reads of a leaf of one hash, at most: the latest."""
RECENT = 4096
"""A look is repeated if other workers kept more than this many entries after it."""
ROUNDS = 32
"""Looks before a claim gives up with Retry."""
CANDIDATES = 128
"""Kept images with likely hashes whose sketches a look reads, at most: 21 kB for each claim. In
families of look-alikes so many are likely; a photograph has a few."""
LIKELY = 2.5
"""`unlikeliness` of the hash up to which the sketch of a kept image is read. 99.6 % of altered
copies are below. Farther images are read only among the `NEAREST`."""
NEAREST = 8
JUDGED = 4
"""Images with the nearest sketches that are compared themselves, at most, for each claim. In
families of a hundred look-alikes a copy's sketch was nearest to its own image or next to it."""

LOOKS = 16
"""Hashes with the sketches, the sha256 and the owners. More take more calls; with fewer each would
be longer, and a hash that doubles takes its new table at once: 8 MB among 10,000,000 images."""
LOOK_BYTES = 146
"""Bytes of a sketch and a sha256. The owner follows them in Redis."""
JUDGES = 8
"""Claims that are judged at once: a store takes some tens of milliseconds for an image."""

Same = Callable[[str, str], bool | None]
"""Tells of two stored images, by their sha256, whether they are one. None: one of them is gone, and
the sketches decide. Several threads call it. May raise Retry."""


def unseen(_one: str, _other: str) -> None:
    """Leaves the decision to the sketches."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """By what an image is compared with others (`kaption.workers.decode.likeness`)."""

    hash: int
    """64 bits. Images that look alike have near hashes."""
    sketch: bytes
    """A tiny picture. Images whose sketches are far apart are different."""
    sha256: str
    """Of the stored image. `Same` decides by it."""


@dataclass(frozen=True, slots=True)
class _NearEntry:
    """A kept image."""

    owner: Position
    look: bytes


@dataclass(frozen=True, slots=True)
class _Wanted:
    hash: bytes
    check: bytes
    look: bytes
    owner: Position
    doubts: Floats
    """Of the hash's 64 bits."""

    @property
    def number(self) -> int:
        """The hash."""
        return int.from_bytes(self.hash, "big")


class NearClaims:
    """The set of kept images, with a hash, a sketch, an owner and a sequence number for each.

    *Look.* Four trees order the images by their hashes, each from another bit on. A leaf has at
    most `LEAF` entries, so a look reads as much in a large set as in a small one. It reads the
    sequence number and then the leaf of the hash in each tree, and those that the most doubtful
    bits lead to (`likely_paths`). Of many images it finds most that are near, not all
    (docs/scaling.md). Lists that are named by 16 bits found all, but grew with the set; lists that
    all have equally many bits were long for photographs, whose hashes crowd.

    *Judgement.* Images that differ may have near hashes, as logos on a white ground do. The
    sketches of at most `CANDIDATES` entries are read. Entries whose check (16 bits of the CRC of
    the sha256) agrees come first, then those whose differing bits are the most doubtful ones. Of
    those whose sketches are not far the nearest `JUDGED` are compared as whole images, because a
    sketch of four times the size took other words in a meme for a watermark.

    *Decision.* Paths are followed, and distances and images judged here, because Redis has one
    thread and the workers have many. A hit is final: kept entries stay, and of equally near ones
    the earliest wins. Without a hit a script keeps the image if no entry near its hash is newer
    than the sequence number of the look; otherwise the image is looked up again. The claim is thus
    one atomic decision, and racing workers agree.

    *Takedown.* `forget` removes the entry of one owner atomically. An entry that is gone when a
    claim reads it does not count.

    *Repetition.* An owner that holds an entry like its image gets it again, whatever was kept
    since: its own hash leads to its leaf, and no reading leaves out an entry with its check. A
    worker that dies before the script has written nothing.

    An entry takes 16 bytes in each tree, and a hash field with the sketch, the sha256 and the
    owner. All these fields lie in `LOOKS` large hashes, so that one call reads many: hashes of 256
    fields took a call for each. Keys of their own took 7 % more memory, and their number slowed the
    reading of leaves.
    """

    def __init__(self, client: redis.Redis, prefix: str, distance: int) -> None:
        self._client = client
        self._prefix = prefix
        self._distance = distance
        self._sequence = f"{prefix}sequence"
        self._recent = f"{prefix}recent"
        self._depth = 0
        self._judges = ThreadPoolExecutor(JUDGES, "near-judge")  # no thread as yet
        lua = files("kaption.workers.stores")
        tree = (lua / "near_tree.lua").read_text("utf-8")
        self._crowd, self._keep, self._forget = (
            client.register_script(tree + (lua / f"near_{name}.lua").read_text("utf-8"))
            for name in ("crowd", "keep", "forget")
        )

    def claim(
        self, images: Sequence[Likeness], owners: Sequence[Position], same: Same
    ) -> list[Position]:
        """Claim each image. Returns the given owner, or the owner of the nearest one like it.

        Raises ValueError on a hash that is not an unsigned 64-bit number, Retry when Redis is down.
        """
        if any(not 0 <= image.hash < 1 << 64 for image in images):
            raise ValueError("a perceptual hash is an unsigned 64-bit number")
        if not images:
            return []
        doubtful = doubts([image.sketch for image in images])
        wanted = [
            _Wanted(image.hash.to_bytes(8, "big"), _check(look), look, owner, doubt)
            for image, owner, doubt in zip(images, owners, doubtful, strict=True)
            for look in [image.sketch + bytes.fromhex(image.sha256)]
        ]
        holders: list[Position] = []
        for start in range(0, len(wanted), CHUNK):
            holders += self._claim_chunk(wanted[start : start + CHUNK], same)
        return holders

    def forget(self, held: Sequence[tuple[int, str]], *, dry_run: bool) -> int:
        """Remove the entries of these hashes that these owners hold. Returns how many there were.

        One round trip for every `CHUNK`. `dry_run` only counts. Raises Retry when Redis is down.
        """
        found = 0
        for start in range(0, len(held), CHUNK):
            chunk = held[start : start + CHUNK]
            paths = own_paths([number for number, _ in chunk])
            items = [
                part
                for (number, owner), path in zip(chunk, paths, strict=True)
                for part in (number.to_bytes(8, "big"), owner, path)
            ]
            found += int(self._run(self._forget, int(dry_run), LOOK_BYTES, *items))
        return found

    def _claim_chunk(self, wanted: Sequence[_Wanted], same: Same) -> list[Position]:
        holders: dict[int, Position] = {}
        for _ in range(ROUNDS):
            open_ = [index for index in range(len(wanted)) if index not in holders]
            seen, hits = self._hits([wanted[index] for index in open_], same)
            holders |= {i: hit for i, hit in zip(open_, hits, strict=True) if hit is not None}
            free = [index for index in open_ if index not in holders]
            kept = self._keep_free(seen, [wanted[index] for index in free], same)
            if kept is not None:
                holders |= {i: owner for i, owner in zip(free, kept, strict=True) if owner}
            if len(holders) == len(wanted):
                return [holders[index] for index in range(len(wanted))]
        raise Retry(
            "near-duplicate claims: other workers kept entries near these images, or over "
            f"{RECENT} entries, during each of {ROUNDS} tries"
        )

    def _hits(self, wanted: Sequence[_Wanted], same: Same) -> tuple[int, list[Position | None]]:
        """The sequence number of the look, and for each image the owner of one like it."""
        import numpy as np

        doubtful = np.stack([one.doubts for one in wanted])
        written = likely_paths([one.number for one in wanted], doubtful, self._depth)
        paths = [separate(each) for each in written]
        with redis_errors():
            seen = int(cast("bytes | None", self._client.get(self._sequence)) or 0)
        leaves = find_leaves(partial(self._nodes, wanted), chain(*paths), 1 + self._depth)
        lengths = [len(leaves[path][0]) for path in chain(*paths)]
        self._depth = round(sum(lengths) / len(lengths)) - 1
        listed = [b"".join(dict(leaves[path] for path in each).values()) for each in paths]
        found = [self._candidates(*both) for both in zip(wanted, listed, strict=True)]
        entries = self._entries(sorted({number for numbers in found for number in numbers}))
        near = [[entries[at] for at in sorted(numbers) if at in entries] for numbers in found]
        return seen, list(self._judges.map(self._holder, wanted, near, repeat(same)))

    def _nodes(self, wanted: Sequence[_Wanted], names: Sequence[bytes]) -> list[Node]:
        """The nodes of these names, for a look at `wanted`."""
        prefix = self._prefix.encode()
        short = [name for name in names if len(name) < PATH_BYTES]
        with redis_errors():
            found = self._client.mget([prefix + name for name in short]) if short else []
        nodes = dict(zip(short, cast("list[Node]", found), strict=True))
        # A whole path names a leaf of one hash, which may be as long as the set.
        for name in set(names) - nodes.keys():
            own = [
                one.hash + one.check
                for one in wanted
                if name in separate(own_paths([one.number])[0])
            ]
            nodes[name] = self._run(self._crowd, name, 16 * LONGEST, *own)
        return [nodes[name] for name in names]

    def _candidates(self, one: _Wanted, listed: bytes) -> list[int]:
        """The sequence numbers of the entries to judge."""
        import numpy as np

        raw = np.frombuffer(listed, dtype=">u8").reshape(-1, 2)
        mask = (1 << 48) - 1
        numbers, once = np.unique(raw[:, 1] & mask, return_index=True)
        differing = raw[once, 0] ^ one.number
        near = np.bitwise_count(differing) <= self._distance
        own = near & (raw[once, 1] >> 48 == int.from_bytes(one.check, "big"))
        read = [*np.flatnonzero(own), *chosen(differing, one.doubts, self._distance)]
        return list(dict.fromkeys(numbers[read].tolist()))[:CANDIDATES]

    def _holder(self, one: _Wanted, entries: Sequence[_NearEntry], same: Same) -> Position | None:
        """The owner itself if it holds an image like this, else the owner of the nearest one."""
        mine = [each for each in entries if each.owner.may_be(one.owner)]
        if any(True for _ in alike(one.look, [each.look for each in mine], same)):
            return one.owner
        others = [each for each in entries if each not in mine]
        at = next(alike(one.look, [each.look for each in others], same), None)
        return None if at is None else others[at].owner

    def _keep_free(
        self, seen: int, free: Sequence[_Wanted], same: Same
    ) -> list[Position | None] | None:
        """The owner of each image, None for one to look up again; None if the look is too old."""
        if not free:
            return []
        items: list[Any] = []
        for at, (one, paths) in enumerate(
            zip(free, own_paths([one.number for one in free]), strict=True)
        ):
            places = ",".join(map(str, self._earlier(one, free[:at], same)))
            items += [one.hash, one.check, one.look, str(one.owner), paths, places]
        kept = self._run(self._keep, seen, self._distance, RECENT, 16 * LEAF, *items)
        if kept is None:
            return None
        return [Position.parse(holder.decode()) if holder else None for holder in kept]

    def _earlier(self, one: _Wanted, before: Sequence[_Wanted], same: Same) -> list[int]:
        """The places of the images before this one that are like it, the nearest first."""
        near = [
            at
            for at, other in enumerate(before)
            if (one.number ^ other.number).bit_count() <= self._distance
        ]
        return [near[at] for at in alike(one.look, [before[at].look for at in near], same)]

    def _entries(self, numbers: Sequence[int]) -> dict[int, _NearEntry]:
        """The entries of these sequence numbers, those that are still kept. One round trip."""
        if not numbers:
            return {}
        fields: dict[str, list[str]] = {}
        parts: dict[str, list[int]] = {}
        for number in numbers:
            key, field = look_of(self._prefix, number)
            fields.setdefault(key, []).append(field)
            parts.setdefault(key, []).append(number)
        with redis_errors(), self._client.pipeline(transaction=False) as pipe:
            for key, wanted in fields.items():
                pipe.hmget(key, wanted)
            answers = cast("list[list[bytes | None]]", pipe.execute())
        return {
            number: _NearEntry(Position.parse(held[LOOK_BYTES:].decode()), held[:LOOK_BYTES])
            for number, held in zip(chain(*parts.values()), chain(*answers), strict=True)
            if held is not None
        }

    def _run(self, script: Script, *items: Any) -> Any:
        """What the script answers to these items, which follow the prefix and the depth."""
        with redis_errors():
            return script(
                keys=[self._sequence, self._recent], args=[self._prefix, self._depth, *items]
            )


def look_of(prefix: str, number: int) -> tuple[str, str]:
    """The key and the field that hold what is known of a sequence number, as in `near_tree.lua`."""
    return f"{prefix}look:{number % LOOKS}", f"{number // LOOKS:x}"


def chosen(differing: Hashes, doubt: Floats, distance: int) -> list[int]:
    """The places of the kept images whose sketches are read, the likeliest first.

    `differing` has the bits in which their hashes differ from one with these doubts.
    """
    import numpy as np

    places = np.flatnonzero(np.bitwise_count(differing) <= distance)
    far = unlikeliness(differing[places], doubt)
    count = max(NEAREST, np.count_nonzero(far <= LIKELY))
    return [int(at) for at in places[np.argsort(far, kind="stable")[: min(count, CANDIDATES)]]]


def alike(new: bytes, looks: Sequence[bytes], same: Same) -> Iterator[int]:
    """The places of the looks that show the same image, the nearest first."""
    if not looks:
        return
    from kaption.workers.decode.likeness import CLOSE, FAR, PACKED_BYTES, distances

    sketch, sha256 = new[:PACKED_BYTES], new[PACKED_BYTES:].hex()
    far = distances(sketch, [look[:PACKED_BYTES] for look in looks]).tolist()
    near = sorted((at for at in range(len(looks)) if far[at] < FAR), key=far.__getitem__)
    for at in near[:JUDGED]:
        yes = looks[at] == new or same(sha256, looks[at][PACKED_BYTES:].hex())
        if far[at] <= CLOSE if yes is None else yes:
            yield at


def _check(look: bytes) -> bytes:
    # Of the sha256 alone: a sketch that is made again from the stored image is not quite the same.
    return (zlib.crc32(look[-32:]) & 0xFFFF).to_bytes(2, "big")
