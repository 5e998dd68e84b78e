"""Measures dedup claims on a filled Redis: `python -m bench.dedup [--quick]`.

A Valkey on loopback is filled with a million exact and a million near claims. Then claims are
measured, one in a call and many in a call. Each row is a ratio to plain `SET key value NX GET`, one
by one. Both are measured in turns in one run, so a slow machine slows both. Half of the measured
claims are new, half are refused.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import statistics
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import redis

from kaption.connections.settings import RedisConnection
from kaption.schemas import Position
from kaption.workers.decode.likeness import PACKED_BYTES
from kaption.workers.local import Valkey
from kaption.workers.policy import DedupPolicy
from kaption.workers.stores.client import connect_redis
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.near import Likeness

PREFIX = "bench:"
FILL = 1000
Claim = Callable[[list[int]], object]


def main() -> None:
    """Fill Valkey, measure in turns and print a row for each way to claim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="50,000 entries in place of 1,000,000")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64, help="claims of one call")
    given = parser.parse_args()
    entries = 50_000 if given.quick else 1_000_000
    with Valkey() as server:
        client = connect_redis(RedisConnection.model_validate({"url": server.url}))
        dedup = Dedup(client, PREFIX, DedupPolicy())
        print(f"{entries:,} entries; ingest hands over {given.batch} at a time")
        for kind, fill in (("exact", _fill_exact), ("near", _fill_near)):
            before = client.info("memory")["used_memory"]
            fill(client, dedup, entries)
            grown = client.info("memory")["used_memory"] - before
            print(f"{kind}: {grown / entries:.0f} B an entry")
        ways: dict[str, tuple[int, Claim]] = {
            "plain SET NX, one by one": (1, lambda numbers: _plain(client, numbers)),
            "plain SET NX, pipelined": (given.batch, lambda numbers: _plain(client, numbers)),
            "exact, one by one": (1, lambda numbers: _exact(dedup, numbers)),
            "exact, many in a call": (given.batch, lambda numbers: _exact(dedup, numbers)),
            "near, one by one": (1, lambda numbers: _near(dedup, numbers)),
            "near, many in a call": (given.batch, lambda numbers: _near(dedup, numbers)),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(given.turns):
            for at, (name, (size, claim)) in enumerate(ways.items()):
                first = entries * (2 + turn * len(ways) + at)
                rates[name].append(_rate(claim, size, entries, first))
        base = statistics.median(rates["plain SET NX, one by one"])
        for name, measured in rates.items():
            rate = statistics.median(measured)
            print(f"{name:28} {rate:10,.0f} claims/s {rate / base:7.2f}x")


def _rate(claim: Claim, size: int, entries: int, first: int) -> float:
    """Claims per second, over about half a second. `first` is a number that is not claimed yet."""
    rng, done = random.Random(first), 0
    started = time.perf_counter()
    while (took := time.perf_counter() - started) < 0.5:
        old = [rng.randrange(entries) for _ in range(size // 2 or done % 2)]
        claim([*old, *range(first + done, first + done + size - len(old))])
        done += size
    return done / took


def _fill_exact(_: redis.Redis, dedup: Dedup, entries: int) -> None:
    for numbers in _chunks(entries):
        _exact(dedup, numbers, by=numbers)


def _fill_near(client: redis.Redis, dedup: Dedup, entries: int) -> None:
    """Write the lists as claims would leave them, because claiming takes many minutes."""
    prefix = dedup._near._prefix
    hashes = np.array([_hash(number) for number in range(entries)], dtype=np.uint64)
    checks = np.array([zlib.crc32(_sketch(n)) & 0xFFFF for n in range(entries)], dtype=np.uint64)
    tails = checks << np.uint64(48) | np.arange(1, entries + 1, dtype=np.uint64)
    records = np.stack([hashes, tails], axis=1).astype(">u8")
    for band in range(1, 5):
        words = (hashes >> np.uint64(64 - 16 * band)) & np.uint64(0xFFFF)
        order = np.argsort(words, kind="stable")
        found, starts = np.unique(words[order], return_index=True)
        lists = np.split(records[order], starts[1:])
        for first in range(0, len(found), FILL):
            with client.pipeline(transaction=False) as pipe:
                for word, entry in zip(found[first:][:FILL], lists[first:], strict=False):
                    pipe.append(f"{prefix}{band}:{word}", entry.tobytes())
                pipe.execute()
    for first in range(0, entries + 1, 256):
        numbers = range(max(1, first), min(first + 256, entries + 1))
        owners = {str(number % 256): str(_owner(number - 1)) for number in numbers}
        client.hset(f"{prefix}owner:{first // 256}", mapping=cast(Any, owners))
        sketches = {str(number % 256): _sketch(number - 1) for number in numbers}
        client.hset(f"{prefix}sketch:{first // 256}", mapping=cast(Any, sketches))
    client.set(dedup._near._sequence, entries)


def _plain(client: redis.Redis, numbers: list[int]) -> object:
    with client.pipeline(transaction=False) as pipe:
        for number in numbers:
            pipe.set(f"{PREFIX}plain:{_sha256(number)}", str(_owner(number)), nx=True, get=True)
        return pipe.execute()


def _exact(dedup: Dedup, numbers: list[int], by: list[int] | None = None) -> object:
    owners = [_owner(number) for number in by or (number + 7 for number in numbers)]
    return dedup.claim_exact([_sha256(number) for number in numbers], owners)


def _near(dedup: Dedup, numbers: list[int]) -> object:
    return dedup.claim_near(
        [Likeness(_hash(number) ^ 0b10110, _sketch(number)) for number in numbers],
        [_owner(number + 7) for number in numbers],
    )


def _sha256(number: int) -> str:
    return hashlib.sha256(number.to_bytes(8, "big")).hexdigest()


def _hash(number: int) -> int:
    return int.from_bytes(hashlib.blake2b(number.to_bytes(8, "big"), digest_size=8).digest(), "big")


def _sketch(number: int) -> bytes:
    return random.Random(number).randbytes(PACKED_BYTES)


def _owner(number: int) -> Position:
    return Position("pairs.raw", number % 12, number // 12)


def _chunks(entries: int) -> Iterator[list[int]]:
    for start in range(0, entries, FILL):
        yield list(range(start, min(start + FILL, entries)))


if __name__ == "__main__":
    main()
