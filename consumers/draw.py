"""Chance without state: the same names give the same number, in every process and at any time."""

from __future__ import annotations

import json
from hashlib import blake2b


def draw(seed: int, *names: str | int) -> float:
    """A number from 0 up to, not including, 1, uniform over the names.

    What it is drawn for (``"flip"``, epoch, pair_id ...) is its only state, so neither the order
    of the samples, nor the number of DataLoader workers, nor a restart changes what is drawn.
    """
    text = json.dumps((seed, *names))  # ASCII, and no two lists of names give the same text
    digest = blake2b(text.encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / (1 << 53)  # 53 bits: what a float holds exactly
