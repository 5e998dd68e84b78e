"""Measures what a claim costs as the set grows: `python -m bench.dedup_growth [--long]`.

A Valkey on loopback is filled with 100,000 and then 1,000,000 images; `--long` adds 10,000,000 (4
GB of memory, many minutes). Half of the measured claims are new, half are copies. `server` is the
processor time of the server, in plain `SET NX GET` measured in turns: a busy machine slows both.
The last column compares calls, bytes, `server` and rate with the first row. `--families N` then
claims N images of each family of `bench.near_duplicates` among the others, and every kind of copy
of each tenth: the share of images refused, and of copies found.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import random
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from functools import partial
from io import BytesIO

import redis
from PIL import Image

from bench.filled import fill_near, likeness_of, owner_of, sha256_of
from bench.near_duplicates import looks
from bench.near_hostile import HOSTILE
from bench.near_images import FAMILIES, copies
from kaption.connections.settings import RedisConnection
from kaption.schemas import Position
from kaption.workers.decode.comparison import Pixels, same
from kaption.workers.local import Valkey
from kaption.workers.policy.ingest import DedupPolicy
from kaption.workers.stores.client import connect_redis
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.near import Likeness

BATCH = 64
FILL = 1000
PREFIX = "bench:"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one claim costs."""

    calls: float
    """Commands that the server ran, those of scripts too."""
    read: float
    """Bytes that the server sent."""
    server: float
    """Processor time of the server, in plain SETs."""
    rate: float
    """Claims a second that keep one core of the server busy."""
    found: float
    """Share of the copies that were refused."""


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="10,000,000 images too")
    parser.add_argument("--only", type=int, action="append", help="one size")
    parser.add_argument("--near", action="store_true", help="near claims alone")
    parser.add_argument("--families", type=int, default=0, help="images of each family")
    parser.add_argument("--claims", type=int, default=6_400, help="claims measured at each size")
    given = parser.parse_args()
    sizes = given.only or [100_000, 1_000_000] + [10_000_000] * given.long
    print("| claims | images | memory | calls | read | server | a core | found | multiples |")
    print("|---|---|---|---|---|---|---|---|---|")
    first: dict[str, Cost] = {}
    kinds = (("exact", _fill_exact, _exact), ("near", fill_near, _near))
    for kind, fill, cost_of in kinds[given.near :]:
        for size in sizes:
            with Valkey() as server:
                client = connect_redis(RedisConnection.model_validate({"url": server.url}))
                dedup = Dedup(client, PREFIX, DedupPolicy())
                memory = _grown(client, partial(fill, client, dedup, size))
                cost = cost_of(client, dedup, size, given.claims)
                then = first.setdefault(kind, cost)
                ratios = zip(astuple(cost), astuple(then), strict=True)
                print(
                    f"| {kind} | {size:,} | {memory / size:.1f} B | {cost.calls:.1f} "
                    f"| {cost.read:,.0f} B | {cost.server:.1f} SETs | {cost.rate:,.0f}/s "
                    f"| {cost.found:.2%} "
                    f"| {' '.join(f'{now / before:.2f}' for now, before in ratios)} |",
                    flush=True,
                )
                if kind == "near" and given.families:
                    _families(dedup, given.families)


def _grown(client: redis.Redis, fill: Callable[[], object]) -> int:
    before = client.info("memory")["used_memory"]
    fill()
    return int(client.info("memory")["used_memory"] - before)


def _fill_exact(_: redis.Redis, dedup: Dedup, count: int) -> None:
    for start in range(0, count, FILL):
        numbers = range(start, min(start + FILL, count))
        dedup.claim_exact([sha256_of(n) for n in numbers], [owner_of(n) for n in numbers])


def _exact(client: redis.Redis, dedup: Dedup, size: int, claims: int) -> Cost:
    rng = random.Random(size)
    batches = []
    for new in range(size, size + 5 * claims, FILL // 2):
        numbers = [rng.randrange(size) for _ in range(FILL // 2)] + [*range(new, new + FILL // 2)]
        batches.append(([sha256_of(n) for n in numbers], [owner_of(size + 7 * n) for n in numbers]))

    def claim(at: int) -> None:
        dedup.claim_exact(*batches[at])

    return measured(client, claim, len(batches), FILL)


def _near(client: redis.Redis, dedup: Dedup, size: int, claims: int) -> Cost:
    rng, new, found = random.Random(size), size, 0
    batches, shown = [], dict[str, int]()
    for _ in range(0, claims, BATCH):
        old = [rng.randrange(size) for _ in range(BATCH // 2)]
        images = [likeness_of(number, copied=True) for number in old]
        images += [likeness_of(number) for number in range(new, new + BATCH // 2)]
        shown |= {image.sha256: number for image, number in zip(images, old, strict=False)}
        shown |= {sha256_of(number): number for number in old}
        batches.append((images, [owner_of(size + 7 * (new + at)) for at in range(BATCH)]))
        new += BATCH // 2

    def alike(one: str, other: str) -> bool:
        return one in shown and shown[one] == shown.get(other)

    def claim(at: int) -> None:
        nonlocal found
        images, owners = batches[at]
        holders = dedup.claim_near(images, owners, alike)
        found += sum(a != b for a, b in zip(holders, owners, strict=True))

    cost = measured(client, claim, len(batches), BATCH)
    return replace(cost, found=2 * found / (BATCH * len(batches)))


def _families(dedup: Dedup, count: int) -> None:
    """Print what is found of the copies of each family, among all that is kept."""
    shown: dict[str, Pixels] = {}

    def alike(one: str, other: str) -> bool | None:
        return same(shown[one], shown[other]) if one in shown and other in shown else None

    def claim(image: Image.Image, by: int) -> bool | None:
        """Whether it is kept; None if it is too flat to be compared."""
        if (seen := looks(image)) is None:
            return None
        sha256 = hashlib.sha256(seen.pixels.tobytes()).hexdigest()
        shown[sha256] = seen.pixels
        look, owner = Likeness(seen.hash, seen.sketch, sha256), Position("family", 0, by)
        return dedup.claim_near([look], [owner], alike) == [owner]

    numbers = itertools.count()
    for name, draw in (FAMILIES | HOSTILE).items():
        images = list(draw(count, 5))
        kept = [claim(image, next(numbers)) for image in images]
        rng = random.Random(5)
        found = [
            claim(Image.open(BytesIO(data)), next(numbers))
            for image in images[::10]
            for _, data in copies(image, rng)
        ]
        print(
            f"| {name} | refused {kept.count(False) / max(1, len(kept)):.1%} "
            f"| copies found {found.count(False) / max(1, len(found)):.1%} of {len(found)} |",
            flush=True,
        )


def measured(client: redis.Redis, claim: Callable[[int], object], batches: int, size: int) -> Cost:
    """What a claim costs; `claim` makes `size` of them.

    Plain SETs follow after each tenth of the batches. INFO takes as long as a hundred SETs.
    """
    totals, plain, turn = [0.0] * 3, 0.0, max(1, batches // 10)
    for start in range(0, batches, turn):
        before, part = _counted(client), range(start, min(start + turn, batches))
        for at in part:
            claim(at)
        after = _counted(client)
        steps = (now - then for now, then in zip(after, before, strict=True))
        totals = [total + step for total, step in zip(totals, steps, strict=True)]
        for at in part:
            with client.pipeline(transaction=False) as pipe:
                for number in range(size):
                    pipe.set(f"{PREFIX}plain:{at}:{number}", b"a plain owner", nx=True, get=True)
                pipe.execute()
        plain += _counted(client)[2] - after[2]
    calls, read, cpu = (total / (batches * size) for total in totals)
    return Cost(calls, read, cpu / (plain / (batches * size)), 1 / cpu, 1.0)


def _counted(client: redis.Redis) -> tuple[float, float, float]:
    """Calls, bytes sent and processor seconds so far."""
    found = client.info("commandstats", "stats", "cpu")
    calls = sum(each["calls"] for name, each in found.items() if name.startswith("cmdstat"))
    cpu = found["used_cpu_user_main_thread"] + found["used_cpu_sys_main_thread"]
    return calls, found["total_net_output_bytes"], cpu


if __name__ == "__main__":
    main()
