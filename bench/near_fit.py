"""Fits the weights of `workers/decode/comparison.py`: `python -m bench.near_fit [--folder DIR]`.

Give it even seeds. `bench.near_duplicates` with an odd seed then measures the weights on other
images: the photographs of even and odd seeds are not the same. A seed has five skies and five
lands, so one seed alone fits them badly.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from bench.near_duplicates import EVERY, Looks, found, is_accepted, looks
from bench.near_images import copies, folder
from kaption.workers.decode.comparison import Floats, Pixels, evidence

PAIRS = 300
"""Pairs of different images for which a family and seed count at most; more weigh less each."""
FALSE_REFUSAL = 8.0
"""How much worse a false refusal is than a copy that is missed."""
RIDGE = 1.0


def main() -> None:
    """Print the rows of `WEIGHTS` and the `BIAS`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=120, help="different images of a family")
    parser.add_argument("--copied", type=int, default=10, help="images of a family to copy")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--only", action="append", help="one family")
    parser.add_argument("--folder", type=Path, action="append", default=[], help="your own images")
    given = parser.parse_args()
    families: dict[str, Callable[[int, int], Iterator[Image.Image]]] = dict(EVERY)
    families |= {str(path): partial(folder, path) for path in given.folder}
    rows: list[Floats] = []
    weights: list[float] = []
    for seed in given.seed or [30]:
        for name in given.only or families:
            different, same = pairs(families[name](given.images, seed), given.copied, seed)
            rows += [evidence(a, b).ravel() for a, b in different + same]
            worse = FALSE_REFUSAL * min(1, PAIRS / max(1, len(different)))
            weights += [-worse] * len(different) + [1.0] * len(same)
    weight, bias = logistic(np.array(rows), np.array(weights))
    for row in weight.reshape(-1, 2):
        print("    (" + ", ".join(f"{one:.3g}" for one in row) + "),")
    print(f"BIAS = {bias:.3g}")


def pairs(
    images: Iterable[Image.Image], copied: int, seed: int
) -> tuple[list[tuple[Pixels, Pixels]], list[tuple[Pixels, Pixels]]]:
    """Pairs of different images that ingest compares, and of images with their copies."""
    rng = random.Random(seed)
    seen = [
        (image, look)
        for image in images
        if is_accepted(image) and (look := looks(image)) is not None
    ]
    different = [
        (look.pixels, other)
        for at, (_, look) in enumerate(seen)
        for other in compared(look, [earlier for _, earlier in seen[:at]])
    ]
    same = [
        (copy.pixels, look.pixels)
        for image, look in rng.sample(seen, min(copied, len(seen)))
        for _, data in copies(image, rng)
        if is_accepted(altered := Image.open(BytesIO(data)))
        and (copy := looks(altered)) is not None
    ]
    return different, same


def compared(look: Looks, kept: Sequence[Looks]) -> list[Pixels]:
    """The kept images that ingest compares with this one while none is like it."""
    read: list[Pixels] = []

    def different(_: Pixels, other: Pixels) -> bool:
        read.append(other)
        return False

    found(look, kept, different)
    return read


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
