"""Decodes damaged images and counts what became of them: `python -m bench.mutated_images`.

Photographs in every format that ingest takes are damaged at random: bytes are changed, cut out,
repeated, filled, or taken from another file. The same seed damages the same bytes. Each image must
be decoded or refused with a reason. The exit status is 1 if a decoder crashed or its answer could
not be read: the limits of time and memory are there to be met, but no decoder may be taken over.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from io import BytesIO

from PIL import Image

from bench.ingest_images import PHOTOGRAPHS
from kaption.schemas import Reason
from kaption.workers.decode.pool import DecodePool
from kaption.workers.policy.ingest import ImagePolicy
from kaption.workers.runtime.stage import Reject

_SIDE = 160
_KINDS: tuple[tuple[str, dict[str, object]], ...] = (
    ("JPEG", {"quality": 85}),
    ("JPEG", {"progressive": True, "subsampling": 0}),
    ("PNG", {}),
    ("WEBP", {"quality": 80}),
    ("WEBP", {"lossless": True}),
    ("GIF", {}),
    ("BMP", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "jpeg"}),
    ("AVIF", {}),
)
"""Formats, with the options that Pillow writes them with."""
_CRASHES = ("the decoder died of", "the decoder ended with status", "unreadable answer")
"""How `DecodeProcess` tells of a child that did not end in order."""


def originals() -> list[bytes]:
    """Each photograph in each format."""
    found = []
    for name in PHOTOGRAPHS:
        content = (files("skimage") / "data" / name).read_bytes()
        with Image.open(BytesIO(content)) as opened:
            image = opened.convert("RGB").resize((_SIDE, _SIDE * 3 // 4))
        for kind, options in _KINDS:
            file = BytesIO()
            image.save(file, kind, **options)
            found.append(file.getvalue())
    return found


def damaged(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """The file with one to eight kinds of damage. Half of them are in its first 512 bytes."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        last = len(found) - 1 if chance.random() < 0.5 else min(512, len(found) - 1)
        start, size = chance.randint(0, last), 1 << chance.randint(0, 8)
        part = slice(start, start + size)
        match chance.randrange(6):
            case 0:
                found[start] = chance.randrange(256)
            case 1:
                found[start] ^= 1 << chance.randrange(8)
            case 2:
                del found[part]
            case 3:
                found[start:start] = found[part]
            case 4:
                found[part] = bytes([chance.choice((0, 1, 127, 128, 255))]) * len(found[part])
            case _:
                found[part] = chance.choice(others)[part]
        if not found:
            return b""
    return bytes(found)


def outcome(pool: DecodePool, data: bytes) -> str:
    """`decoded`, `crashed` with the cause, or the reason of the refusal."""
    try:
        pool.decode(data)
    except Reject as refused:
        if refused.reason is Reason.DECODE_FAILED and refused.detail.startswith(_CRASHES):
            return f"crashed: {refused.detail}"
        return refused.reason.value
    return "decoded"


def main() -> None:
    """Print how many images had each outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    whole, chance = originals(), random.Random(given.seed)
    threads = 4
    found = Counter[str]()
    with DecodePool(ImagePolicy()) as pool, ThreadPoolExecutor(threads) as workers:
        for start in range(0, given.images, 1000):
            count = min(1000, given.images - start)
            images = [damaged(chance.choice(whole), whole, chance) for _ in range(count)]
            found.update(workers.map(lambda image: outcome(pool, image), images))
    crashed = sum(count for name, count in found.items() if name.startswith("crashed"))
    print(f"{given.images:,} damaged images, {crashed} crashes")
    for name, count in found.most_common():
        print(f"{count:9,} {name}")
    sys.exit(1 if crashed else 0)


if __name__ == "__main__":
    main()
