"""Fits the weights of `workers/decode/comparison.py`: `python -m bench.near_fit [--folder DIR]`.

Give it an even seed. `bench.near_duplicates` with an odd seed then measures the weights on other
images: the photographs of even and odd seeds are not the same.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from bench.near_duplicates import Looks, looks
from bench.near_hostile import HOSTILE
from bench.near_images import FAMILIES, copies, folder
from kaption.workers.decode.comparison import Floats, evidence
from kaption.workers.decode.likeness import distances
from kaption.workers.policy.ingest import DedupPolicy

PAIRS = 100
"""Pairs of different images of a family: those with the nearest sketches, which ingest compares."""
FALSE_REFUSAL = 8.0
"""How much worse a false refusal is than a copy that is missed."""
RIDGE = 1.0


def main() -> None:
    """Print the rows of `WEIGHTS` and the `BIAS`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=300, help="different images of a family")
    parser.add_argument("--copied", type=int, default=50, help="images of a family to copy")
    parser.add_argument("--seed", type=int, default=30)
    parser.add_argument("--folder", type=Path, action="append", default=[], help="your own images")
    given = parser.parse_args()
    families: list[Callable[[int, int], Iterator[Image.Image]]] = list(
        (FAMILIES | HOSTILE).values()
    )
    families += [partial(folder, path) for path in given.folder]
    rows: list[Floats] = []
    weights: list[float] = []
    for draw in families:
        rng = random.Random(given.seed)
        images = draw(given.images, given.seed)
        seen = [(image, look) for image in images if (look := looks(image)) is not None]
        different = nearest([look for _, look in seen])
        same = [
            (copy, look)
            for image, look in rng.sample(seen, min(given.copied, len(seen)))
            for _, data in copies(image, rng)
            if (copy := looks(Image.open(BytesIO(data)))) is not None
        ]
        rows += [evidence(a.pixels, b.pixels).ravel() for a, b in different + same]
        weights += [-FALSE_REFUSAL] * len(different) + [1.0] * len(same)
    weight, bias = logistic(np.array(rows), np.array(weights))
    for row in weight.reshape(-1, 2):
        print("    (" + ", ".join(f"{one:.3g}" for one in row) + "),")
    print(f"BIAS = {bias:.3g}")


def nearest(seen: list[Looks]) -> list[tuple[Looks, Looks]]:
    """Pairs of images that ingest compares: their hashes are near, and their sketches nearest."""
    most = DedupPolicy().near_distance
    found = []
    for at, one in enumerate(seen[1:], 1):
        others = [each for each in seen[:at] if (one.hash ^ each.hash).bit_count() <= most]
        if others:
            far = distances(one.sketch, [each.sketch for each in others])
            best = int(far.argmin())
            found.append((float(far[best]), at, one, others[best]))
    return [(one, other) for _, _, one, other in sorted(found)[:PAIRS]]


def logistic(found: Floats, weights: Floats) -> tuple[Floats, float]:
    """Weights and bias of a ridge regression by Newton's steps. A copy has a positive weight."""
    middle, spread = found.mean(0), found.std(0)
    inputs = np.hstack([(found - middle) / spread, np.ones((len(found), 1))])
    size, target = abs(weights), weights > 0
    ridge = np.diag([RIDGE] * found.shape[1] + [0.0])
    at = np.zeros(inputs.shape[1])
    for _ in range(30):
        likely = 1 / (1 + np.exp(-(inputs @ at).clip(-30, 30)))
        slope = inputs.T @ (size * (target - likely)) - ridge @ at
        curve = (inputs * (size * likely * (1 - likely))[:, None]).T @ inputs + ridge
        at += np.linalg.solve(curve + 1e-6 * np.eye(len(curve)), slope)
    return at[:-1] / spread, float(at[-1] - (at[:-1] * middle / spread).sum())


if __name__ == "__main__":
    main()
