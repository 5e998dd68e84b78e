"""Fills a Redis server with near claims as claiming leaves them: claiming millions takes hours.

The images are drawn in the frequencies of their sketches. Like photographs they have less of the
high ones, each image in its own measure; some are almost a gradient, and some almost grey.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from itertools import islice
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from kaption.schemas import Position
from kaption.workers.decode.likeness import margins
from kaption.workers.decode.sketch import LUMA
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.near import LEAF, LOOKS, Likeness, look_of
from kaption.workers.stores.near_paths import TREES, rolled

BLOCK = 256
_SIDES = (LUMA, 4, 4)
_CHANGED = 0.02
"""Share of the cells of a copy that are one step lighter or darker."""


def sha256_of(number: int) -> str:
    """The sha256 of the image with this number."""
    return hashlib.sha256(number.to_bytes(8, "big")).hexdigest()


@lru_cache(4096)
def likeness_of(number: int, *, copied: bool = False) -> Likeness:
    """What the image looks like, or an altered copy of it."""
    sketch = _block(number // BLOCK)[number % BLOCK]
    if copied:
        rng = np.random.default_rng(number)
        bits = np.unpackbits(np.frombuffer(sketch[6:], np.uint8)).reshape(-1, 3)
        steps = (bits @ (4, 2, 1)).astype(int)
        steps += rng.choice((-1, 0, 1), len(steps), p=(_CHANGED / 2, 1 - _CHANGED, _CHANGED / 2))
        sketch = sketch[:6] + _bytes(steps.clip(0, 7)[None].astype(np.uint8))[0]
        return Likeness(_hashes([sketch])[0], sketch, sha256_of(-number % (1 << 63)))
    return Likeness(_hashes([sketch])[0], sketch, sha256_of(number))


@lru_cache(4096)
def _block(block: int) -> list[bytes]:
    """The packed sketches of this block: a quarter is drawn, the rest turned or negative."""
    rng = np.random.default_rng(block)
    count = BLOCK // 4
    slope, tilt = rng.normal(1.1, 0.2, (count, 1)), rng.lognormal(0, 0.4, (count, 1))
    heads, steps = [], []
    for at, side in enumerate(_SIDES):
        waves, down, across = _waves(side)
        size = np.hypot(down * tilt, across / tilt) ** -slope
        size *= rng.laplace(0, 1, size.shape)
        strength = rng.lognormal(3.2 if at == 0 else 1.5, 0.6, (count, 1))
        levels = (strength * size @ waves + rng.normal(128, 20, (count, 1))).clip(0, 255)
        low, high = np.floor(levels.min(1)), np.ceil(levels.max(1))
        heads += [np.tile(low, 4), np.tile(high, 4)]
        cells = np.rint((levels - low[:, None]) * 7 / np.maximum(1, high - low)[:, None])
        square = cells.astype(np.uint8).reshape(count, side, side)
        ways = [square, square.swapaxes(1, 2), 7 - square, 7 - square.swapaxes(1, 2)]
        steps.append(np.concatenate(ways).reshape(BLOCK, -1))
    first = np.stack(heads, 1).astype(np.uint8)
    rest = _bytes(np.concatenate(steps, 1))
    return [one.tobytes() + two for one, two in zip(first, rest, strict=True)]


def _bytes(steps: NDArray[np.uint8]) -> list[bytes]:
    bits = np.unpackbits(steps[:, :, None], axis=2)[:, :, -3:]
    return [row.tobytes() for row in np.packbits(bits.reshape(len(steps), -1), axis=1)]


@cache
def _waves(side: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The lowest frequencies of a channel, and how often each goes down and across."""
    at = np.arange(side)
    waves = np.cos(math.pi * (2 * at[None] + 1) * at[:, None] / (2 * side))
    down, across = (each.ravel() for each in np.indices((side, side)))
    used = (down + across > 0) & (np.hypot(down, across) < 9)
    both = np.einsum("ax,by->abxy", waves, waves).reshape(side * side, -1)
    return both[used], down[used].astype(float), across[used].astype(float)


def _hashes(sketches: list[bytes]) -> list[int]:
    signs = np.packbits(margins(sketches) > 0, axis=1)
    return [int(each) for each in signs.view(">u8")[:, 0]]


def owner_of(number: int) -> Position:
    """The origin of the image."""
    return Position("pairs.raw", number % 12, number // 12)


def fill_near(client: redis.Redis, dedup: Dedup, count: int) -> None:
    """Give an empty server the near claims of the images 0 to count - 1."""
    near = dedup._near
    hashes, checks = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
    _send(client, _looks(near._prefix, hashes, checks))
    tails = checks << np.uint64(48) | np.arange(1, count + 1, dtype=np.uint64)
    for tree in range(TREES):
        name = f"{near._prefix}{tree + 1}"
        _send(
            client, _nodes(name, rolled(hashes, tree), np.stack([hashes, tails], 1).astype(">u8"))
        )
    client.set(near._sequence, count)


def _looks(
    prefix: str, hashes: NDArray[np.uint64], checks: NDArray[np.uint64]
) -> Iterator[list[bytes]]:
    """The sketch, the sha256 and the owner of each image. Puts down its hash and its check."""
    fields: list[list[bytes]] = [[] for _ in range(LOOKS)]
    for number in range(len(hashes)):
        if number % BLOCK == 0:
            sketches = _block.__wrapped__(number // BLOCK)
            hashes[number : number + BLOCK] = _hashes(sketches)[: len(hashes) - number]
        sha256 = bytes.fromhex(sha256_of(number))
        checks[number] = zlib.crc32(sha256) & 0xFFFF
        look = sketches[number % BLOCK] + sha256 + str(owner_of(number)).encode()
        key, field = look_of(prefix, number + 1)
        waiting = fields[(number + 1) % LOOKS]
        waiting += [field.encode(), look]
        if len(waiting) >= 2 * BLOCK or number + LOOKS >= len(hashes):
            yield [b"HSET", key.encode(), *waiting]
            waiting.clear()


def _nodes(
    root: str, words: NDArray[np.uint64], entries: NDArray[np.uint64]
) -> Iterator[list[bytes]]:
    """The leaves of a tree, and what stays where a leaf was divided."""
    order = np.argsort(words, kind="stable")
    words = words[order]
    nodes = [(root, 0, 0, len(words))]
    while nodes:
        name, base, first, end = nodes.pop()
        if end - first <= LEAF:
            yield [b"SET", name.encode(), entries[np.sort(order[first:end])].tobytes()]
            continue
        yield [b"SET", name.encode(), b"/"]
        step = 1 << 62 - 2 * (len(name) - len(root))
        lows = [base + step * digit for digit in range(4)]
        inner = first + np.searchsorted(words[first:end], np.array(lows[1:], np.uint64))
        for digit, low, one, other in zip(
            range(4), lows, [first, *inner], [*inner, end], strict=True
        ):
            nodes.append((f"{name}{digit}", low, int(one), int(other)))


def _send(client: redis.Redis, commands: Iterable[list[bytes]]) -> None:
    """Send commands without reading what Redis answers."""
    link: Any = client.connection_pool.get_connection()
    link.send_command("CLIENT", "REPLY", "OFF", check_health=False)
    rest = iter(commands)
    while part := list(islice(rest, 2_000)):
        packed = b"".join(
            b"*%d\r\n%b" % (len(one), b"".join(b"$%d\r\n%b\r\n" % (len(a), a) for a in one))
            for one in part
        )
        link.send_packed_command([packed], check_health=False)  # its answer would not come
    link.send_command("CLIENT", "REPLY", "ON", check_health=False)
    link.read_response()
    client.connection_pool.release(link)
