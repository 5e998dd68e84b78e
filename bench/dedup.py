"""Measures dedup claims on a filled Redis: `python -m bench.dedup [--quick]`.

A Valkey on loopback is filled with a million exact and a million near claims. Then claims are
measured, one in a call and many in a call. Each row is a ratio to plain `SET key value NX GET`, one
by one. Both are measured in turns in one run, so a slow machine slows both. Half of the measured
claims are new, half are refused.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

import redis

from bench.filled import fill_near, likeness_of, owner_of, sha256_of
from kaption.connections.settings import RedisConnection
from kaption.workers.local import Valkey
from kaption.workers.policy.ingest import DedupPolicy
from kaption.workers.stores.client import connect_redis
from kaption.workers.stores.dedup import Dedup

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
        for kind, fill in (("exact", _fill_exact), ("near", fill_near)):
            before = client.info("memory")["used_memory"]
            fill(client, dedup, entries)
            grown = client.info("memory")["used_memory"] - before
            print(f"{kind}: {grown / entries:.0f} B an entry")
        ways: dict[str, tuple[int, Claim]] = {
            "plain SET NX, one by one": (1, lambda numbers: _plain(client, numbers)),
            "plain SET NX, pipelined": (given.batch, lambda numbers: _plain(client, numbers)),
            "exact, one by one": (1, lambda numbers: _exact(dedup, numbers)),
            "exact, many in a call": (given.batch, lambda numbers: _exact(dedup, numbers)),
            "near, one by one": (1, lambda numbers: _near(dedup, numbers, entries)),
            "near, many in a call": (given.batch, lambda numbers: _near(dedup, numbers, entries)),
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
    rng, done, took = random.Random(first), 0, 0.0
    while took < 0.5:
        old = [rng.randrange(entries) for _ in range(size // 2 or done % 2)]
        numbers = [*old, *range(first + done, first + done + size - len(old))]
        for number in numbers:
            likeness_of(number, copied=number < entries)  # drawn before, not while it is measured
        started = time.perf_counter()
        claim(numbers)
        took += time.perf_counter() - started
        done += size
    return done / took


def _fill_exact(_: redis.Redis, dedup: Dedup, entries: int) -> None:
    for start in range(0, entries, FILL):
        numbers = list(range(start, min(start + FILL, entries)))
        _exact(dedup, numbers, by=numbers)


def _plain(client: redis.Redis, numbers: list[int]) -> object:
    with client.pipeline(transaction=False) as pipe:
        for number in numbers:
            pipe.set(f"{PREFIX}plain:{sha256_of(number)}", str(owner_of(number)), nx=True, get=True)
        return pipe.execute()


def _exact(dedup: Dedup, numbers: list[int], by: list[int] | None = None) -> object:
    owners = [owner_of(number) for number in by or (number + 7 for number in numbers)]
    return dedup.claim_exact([sha256_of(number) for number in numbers], owners)


def _near(dedup: Dedup, numbers: list[int], entries: int) -> object:
    return dedup.claim_near(
        [likeness_of(number, copied=number < entries) for number in numbers],
        [owner_of(number + 7) for number in numbers],
    )


if __name__ == "__main__":
    main()
