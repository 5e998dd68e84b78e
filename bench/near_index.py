"""Measures which copies the leaves of near claims lead to: `python -m bench.near_index`.

For each family of images: the share of altered copies whose look reads a leaf with their image, for
leaves whose images share some bits of the hash. Of evenly spread images these are 12, 16 and 18
bits among 100,000, 1,000,000 and 10,000,000; photographs share about two more.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from bench.near_hostile import HOSTILE
from bench.near_images import FAMILIES, copies, folder
from kaption.workers.decode.likeness import index_hash, packed
from kaption.workers.decode.sketch import sketch
from kaption.workers.policy.ingest import DedupPolicy, ImagePolicy
from kaption.workers.stores.near_paths import doubts, likely_paths, own_paths, separate

Drawn = tuple[int, bytes]
"""The hash and the packed sketch of an image."""
BITS = (12, 16, 18, 20, 22)


def main() -> None:
    """Print a row for each family, and the lowest and the mean share of each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copied", type=int, default=20, help="images of a family to copy")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--folder", type=Path, action="append", default=[], help="your own images")
    given = parser.parse_args()
    families = {name: draw(given.copied, given.seed) for name, draw in (FAMILIES | HOSTILE).items()}
    families |= {str(path): folder(path, given.copied, given.seed) for path in given.folder}
    print(f"| family | copies | {' | '.join(f'{bits} bits' for bits in BITS)} |")
    rows = []
    for name, images in families.items():
        pairs, rng = [], random.Random(given.seed)
        for image in images:
            one = drawn(image)
            for _, data in copies(image, rng):
                copy = drawn(Image.open(BytesIO(data)))
                if one and copy:
                    pairs.append((one, copy))
        rows.append(found(pairs))
        print(f"| {name} | {len(pairs)} | {_shares(rows[-1])} |", flush=True)
    print(f"| lowest | | {_shares(np.min(rows, axis=0).tolist())} |")
    print(f"| mean | | {_shares(np.mean(rows, axis=0).tolist())} |")


def drawn(image: Image.Image) -> Drawn | None:
    """What ingest knows of an image before it compares it. None: it has no sketch."""
    small = image.convert("RGB")
    small.thumbnail((ImagePolicy().longest_side,) * 2)
    cells = sketch(small)
    return None if cells is None else (index_hash(cells), packed(cells))


def found(pairs: Sequence[tuple[Drawn, Drawn]]) -> list[float]:
    """For each depth of the leaves the share whose image is near and in a leaf that is read."""
    limit = DedupPolicy().near_distance
    near = [(one[0] ^ copy[0]).bit_count() <= limit for one, copy in pairs]
    kept = own_paths([one for (one, _), _ in pairs])
    new = [copy for _, copy in pairs]
    doubt, shares = doubts([look for _, look in new]), []
    for bits in BITS:
        read = likely_paths([number for number, _ in new], doubt, bits // 2)
        met = [_leaves(a, bits) & _leaves(b, bits) for a, b in zip(kept, read, strict=True)]
        shares.append(sum(map(bool, (x and y for x, y in zip(near, met, strict=True)))) / len(near))
    return shares


def _leaves(paths: bytes, bits: int) -> set[bytes]:
    return {path[: 1 + bits // 2] for path in separate(paths)}


def _shares(shares: Sequence[float]) -> str:
    return " | ".join(f"{share:.1%}" for share in shares)


if __name__ == "__main__":
    main()
