"""Measures how well near-duplicates are judged: `python -m bench.near_duplicates [--folder DIR]`.

For each family of images: the share of altered copies that are found (recall), the share of
different images that are refused as copies of one before them (false refusals), and how many kept
images were read to judge a thousand different ones.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from bench.near_figures import FIGURES
from bench.near_hostile import HOSTILE
from bench.near_images import FAMILIES, copies, encoded, folder
from bench.near_layouts import LAYOUTS
from kaption.workers.decode.comparison import Pixels, pixels_of, same
from kaption.workers.decode.likeness import index_hash, packed
from kaption.workers.decode.sketch import sketch
from kaption.workers.policy.ingest import DedupPolicy, ImagePolicy
from kaption.workers.stores.near import alike, chosen
from kaption.workers.stores.near_paths import doubts

EVERY = FAMILIES | HOSTILE | LAYOUTS | FIGURES
"""All drawn families by their names."""


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What ingest knows of an image."""

    hash: int
    sketch: bytes
    pixels: Pixels


@dataclass(slots=True)
class Figures:
    """What was counted in one family."""

    images: int = 0
    """Different images that have a sketch."""
    refused: int = 0
    read: int = 0
    """Kept images that were read to judge the different ones."""
    copies: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    """Copies that were not found, by the change."""

    @property
    def recall(self) -> float:
        """Share of the copies that were found."""
        return 1 - self.missed.total() / max(1, self.copies)

    @property
    def false_refusals(self) -> float:
        """Share of the different images that were refused."""
        return self.refused / max(1, self.images)


def main() -> None:
    """Print a row for each family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200, help="different images of a family")
    parser.add_argument("--copied", type=int, default=25, help="images of a family to copy")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, action="append", default=[], help="your own images")
    parser.add_argument("--only", action="append", help="one family")
    given = parser.parse_args()
    families = {name: draw(given.images, given.seed) for name, draw in EVERY.items()}
    families |= {str(path): folder(path, given.images, given.seed) for path in given.folder}
    families = {name: each for name, each in families.items() if name in (given.only or families)}
    print("| family | different images | false refusals | copies | recall | reads in 1,000 |")
    print("|---|---|---|---|---|---|")
    for name, images in families.items():
        found = measure(images, given.copied, given.seed)
        print(
            f"| {name} | {found.images} | {found.false_refusals:.1%} | {found.copies} "
            f"| {found.recall:.1%} | {1000 * found.read / max(1, found.images):.0f} "
            f"| {dict(found.missed.most_common(3))}",
            flush=True,
        )


def measure(images: Iterable[Image.Image], copied: int, seed: int) -> Figures:
    """The figures of a family. `copied` of its images are copied in every way of `copies`."""
    figures, rng = Figures(), random.Random(seed)
    drawn = [(image, looks(image)) for image in images if is_accepted(image)]
    sketched = [(image, look) for image, look in drawn if look is not None]
    kept: list[Looks] = []
    for _, look in sketched:
        figures.images += 1
        holder, read = found(look, kept)
        figures.read += read
        if holder is not None:
            figures.refused += 1
        else:
            kept.append(look)
    for image, look in rng.sample(sketched, min(copied, len(sketched))):
        for change, data in copies(image, rng):
            altered = Image.open(BytesIO(data))
            if not is_accepted(altered):
                continue
            copy = looks(altered)
            figures.copies += 1
            if copy is None or found(copy, [look])[0] is None:
                figures.missed[change] += 1
    return figures


def is_accepted(image: Image.Image) -> bool:
    """Whether ingest takes an image of this size."""
    shorter, longer = sorted(image.size)
    policy = ImagePolicy()
    return shorter >= policy.min_side and longer <= policy.max_ratio * shorter


def looks(image: Image.Image) -> Looks | None:
    """The hash, the sketch and the stored picture of an image. None: it has no sketch."""
    small = image.convert("RGB")
    small.thumbnail((ImagePolicy().longest_side,) * 2)
    drawn = sketch(small)
    shown = pixels_of(encoded(small, "JPEG", quality=ImagePolicy().quality))
    if drawn is None or shown is None:
        return None
    return Looks(index_hash(drawn), packed(drawn), shown)


def found(
    look: Looks, kept: Sequence[Looks], judge: Callable[[Pixels, Pixels], bool] = same
) -> tuple[Looks | None, int]:
    """The kept image that ingest would refuse this one for, and the images that it would read."""
    differing = np.array([other.hash ^ look.hash for other in kept], np.uint64)
    near = chosen(differing, doubts([look.sketch])[0], DedupPolicy().near_distance)
    read: list[str] = []

    def compared(_: str, other: str) -> bool:
        read.append(other)
        return judge(look.pixels, kept[int(other, 16)].pixels)

    places = [kept[at].sketch + at.to_bytes(32, "big") for at in near]
    at = next(alike(look.sketch + b"\xff" * 32, places, compared), None)
    return (None if at is None else kept[near[at]]), len(read)


if __name__ == "__main__":
    main()
