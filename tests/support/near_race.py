"""Near claims of racing workers. Spawned processes import this file by its name."""

from __future__ import annotations

import random
from functools import cache
from typing import cast

import numpy as np
import redis

from kaption.connections.settings import RedisConnection
from kaption.schemas import Position
from kaption.workers.decode.likeness import packed
from kaption.workers.decode.sketch import CELLS
from kaption.workers.policy.ingest import DedupPolicy
from kaption.workers.stores.client import connect_redis
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.near import Likeness


def owner(number: int) -> Position:
    return Position("pairs.raw", number % 12, number)


def dedup_at(url: str, distance: int = 6, prefix: str = "kaption:") -> Dedup:
    client = connect_redis(RedisConnection.model_validate({"url": url}))
    return Dedup(client, prefix, DedupPolicy(near_distance=distance))


@cache
def packed_sketch(number: int) -> bytes:
    """A sketch. Sketches of different numbers are not alike."""
    return packed(np.random.default_rng(number).integers(0, 256, CELLS, np.uint8).tobytes())


def leaves(url: str, tree: int) -> list[bytes]:
    """The entries of each leaf of a tree."""
    client = redis.Redis.from_url(url)
    names = list(client.scan_iter(match=f"*near3:{tree}*"))
    found = cast("list[bytes]", client.mget(names)) if names else []
    return [entries for entries in found if entries != b"/"]


def looks(number: int, sketch: int = 0) -> Likeness:
    """An image with this hash and sketch."""
    return Likeness(number, packed_sketch(sketch), f"{sketch:064x}")


def flipped(number: int, bits: int, rng: random.Random) -> int:
    for bit in rng.sample(range(64), bits):
        number ^= 1 << bit
    return number


def claims_of(seed: int) -> list[tuple[int, Position]]:
    """Hashes around a few centres, so that workers collide. Each owner has one hash."""
    rng = random.Random(seed)
    centres = [random.Random(999).getrandbits(64) for _ in range(40)]
    return [
        (flipped(rng.choice(centres), rng.randrange(6), rng), owner(seed * 1000 + number))
        for number in range(150)
    ]


def claim_all(url: str, seed: int) -> list[Position]:
    dedup = dedup_at(url)
    rng = random.Random(seed)
    items, answers = claims_of(seed), []
    while items:
        size = rng.randrange(1, 20)
        part, items = items[:size], items[size:]
        answers += dedup.claim_near([looks(number) for number, _ in part], [by for _, by in part])
    return answers
