"""Fits `workers/decode/judge.toml`: `python -m bench.near_fit [--folder DIR] > judge.toml`.

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

PAIRS = 100
"""Pairs of different images for which a family and seed count at most; more weigh less each."""
FALSE_REFUSAL = 8.0
"""How much worse a false refusal is than a copy that is missed."""
HIDDEN = 8
"""Units of the hidden layer. Without one, of five families in turn that were left out of the fit,
three times as many copies were missed."""
DECAY = 6e-5
"""Weight of the squared weights in the loss."""
PRINT = ("pages", "text cards", "screenshots", "listings")
"""Families of words. A mark over words is much like other words."""
PRINTED = 6.0
"""How much a copy in one of them counts. At 1 the fit missed 5 instead of 0 of 3,600 copies of
families that it had not seen. Among 3 to 12 it was chosen with skimage's page.png in view: the copy
with a mark over its words is found at 5 and 6, and missed at 3, 4, 8 and 12."""
CAUTION = 1.0
"""Taken off the output. Without it twice as many images of families that the fit had not seen were
refused."""


def main() -> None:
    """Print the network as TOML."""
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
            rows += [evidence(a, b) for a, b in different + same]
            worse = FALSE_REFUSAL * min(1, PAIRS / max(1, len(different)))
            copy = PRINTED if name in PRINT else 1.0
            weights += [-worse] * len(different) + [copy] * len(same)
    network = fitted(np.array(rows), np.array(weights))
    print("# The judge of near-duplicates (comparison.py), fitted by bench/near_fit.py.")
    for name, values in network.items():
        print(f"{name} = {_told(values)}")


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


def fitted(found: Floats, weights: Floats) -> dict[str, Floats]:
    """The network by names, from rows of `evidence`. A copy has a positive weight.

    It minimises the weighted cross entropy by L-BFGS. The inputs' means and spreads are part of
    its first layer.
    """
    import torch

    middle, spread = found.mean(0), found.std(0)
    inputs = torch.tensor((found - middle) / spread)
    size, target = torch.tensor(abs(weights)), torch.tensor((weights > 0).astype(float))
    torch.manual_seed(0)
    layers = torch.nn.Linear(found.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, 1)
    network = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1]).double()
    steps = torch.optim.LBFGS(network.parameters(), max_iter=400, line_search_fn="strong_wolfe")
    entropy = torch.nn.BCEWithLogitsLoss(weight=size)

    def loss() -> float:
        steps.zero_grad()
        decay = sum((each**2).sum() for each in network.parameters())
        value = entropy(network(inputs)[:, 0], target) + DECAY * decay
        value.backward()
        return float(value.item())

    steps.step(loss)  # type: ignore[no-untyped-call]  # torch has no types there
    first, first_bias, last, bias = (each.detach().numpy() for each in network.parameters())
    hidden = first / spread
    return {
        "hidden": hidden,
        "hidden_bias": first_bias - hidden @ middle,
        "out": last[0],
        "bias": bias[0] - CAUTION,
    }


def _told(values: Floats) -> str:
    if values.ndim == 0:
        return f"{values:.4g}"
    apart = ",\n" if values.ndim > 1 else ", "
    return f"[{apart.join(map(_told, values))}]"


if __name__ == "__main__":
    main()
