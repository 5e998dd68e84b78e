"""The paths on which near claims look for an image (`NearClaims`), and which of them are likely."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Hashes = NDArray[np.uint64]

TREES = 4
PATHS = 32
"""Leaves that a look reads, at most."""
AHEAD = 2
"""Bits beyond the depth of most leaves that a look may turn: photographs lie deeper than others."""
PATH_BYTES = 33


def doubts(sketches: Sequence[bytes]) -> Floats:
    """How unlikely each bit of the hash is to differ in a copy, from packed sketches: (images, 64).

    1 is the root mean square of an image.
    """
    import numpy as np

    from kaption.workers.decode.likeness import margins

    found = abs(margins(sketches))
    size = np.sqrt((found**2).mean(axis=1, keepdims=True))
    return np.asarray(found / np.maximum(size, 1e-9))


def own_paths(hashes: Sequence[int]) -> list[bytes]:
    """For each hash its path in each tree, one after the other."""
    import numpy as np

    trees = np.tile(np.arange(TREES), (len(hashes), 1))
    return _written(trees, _all_rolled(hashes))


def likely_paths(hashes: Sequence[int], doubt: Floats, depth: int) -> list[bytes]:
    """For each hash its own paths, then those that a copy's image may have: the likeliest.

    They have the most doubtful bits turned. `depth` is that of most leaves: later bits lead to
    the same leaf. (Lv, Josephson, Wang, Charikar, Li: Multi-probe LSH, 2007.)
    """
    import numpy as np

    used = min(64, 2 * depth + AHEAD)
    places = (16 * np.arange(TREES)[:, None] + np.arange(used)) % 64
    here = doubt[:, places]
    order = np.argsort(here, axis=2)[:, :, :12]
    sets = _sets(order.shape[2])
    cost = np.take_along_axis(here, order, axis=2) @ sets.T
    cost[:, :, 0] = -1  # its own
    best = np.argsort(cost.reshape(len(hashes), -1), axis=1, kind="stable")[:, :PATHS]
    trees, chosen = np.divmod(best, len(sets))
    bits = np.uint64(1) << (63 - order).astype(np.uint64)
    turned = bits @ sets.T.astype(np.uint64)
    rows = np.arange(len(hashes))[:, None]
    return _written(trees, _all_rolled(hashes)[rows, trees] ^ turned[rows, trees, chosen])


def separate(paths: bytes) -> list[bytes]:
    """The paths that were written one after the other."""
    return [paths[at : at + PATH_BYTES] for at in range(0, len(paths), PATH_BYTES)]


def unlikeliness(differing: Hashes, doubt: Floats) -> Floats:
    """How unlikely copies have hashes that differ in these bits from one with these doubts.

    Of altered copies 99.8 % have less than 3, of pairs of photographs one in 77,000. By the number
    of bits, as many copies differ in up to 11, and of the pairs one in 11,000.
    """
    import numpy as np

    bits = np.unpackbits(differing.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    return np.asarray(bits @ doubt)


def rolled(hashes: Hashes, tree: int) -> Hashes:
    """Each hash as a tree reads it, 0 the first one: from bit 16 * tree on."""
    import numpy as np

    shift = np.uint64(16 * tree)
    return np.asarray(hashes << shift | hashes >> (np.uint64(64) - shift) % np.uint64(64))


def _all_rolled(hashes: Sequence[int]) -> Hashes:
    """Each hash as each tree reads it: (images, TREES)."""
    import numpy as np

    whole = np.array(hashes, np.uint64)
    return np.stack([rolled(whole, tree) for tree in range(TREES)], axis=1)


def _written(trees: NDArray[np.integer], words: Hashes) -> list[bytes]:
    """Paths of `PATH_BYTES`, one after the other: the tree's digit, then two bits in each digit."""
    import numpy as np

    shifts = np.arange(62, -1, -2, dtype=np.uint64)
    digits = (words[:, :, None] >> shifts) & np.uint64(3)
    paths = np.concatenate([trees[:, :, None] + 1, digits.astype(np.int64)], axis=2)
    return [each.tobytes() for each in (paths + ord("0")).astype(np.uint8)]


@cache
def _sets(bits: int) -> Floats:
    """Sets of the most doubtful bits, as rows of 0 and 1. The first one is empty."""
    import numpy as np

    reach = {0: bits, 1: bits, 2: min(bits, 7), 3: min(bits, 5), 4: min(bits, 4)}
    found = [one for size, up_to in reach.items() for one in combinations(range(up_to), size)]
    rows = np.zeros((len(found), bits))
    for row, one in zip(rows, found, strict=True):
        row[list(one)] = 1
    return rows
