"""Measures how well near-duplicates are judged: `python -m bench.near_duplicates [--folder DIR]`.

For each family of images: the share of altered copies that are found (recall), and the share of
different images that are refused as copies of one before them (false refusals).
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from PIL import Image

from bench.near_images import FAMILIES, copies, folder
from kaption.workers.decode.likeness import alike, index_hash, packed
from kaption.workers.decode.sketch import sketch
from kaption.workers.policy import DedupPolicy, ImagePolicy

Looks = tuple[int, bytes]


@dataclass(slots=True)
class Figures:
    """What was counted in one family."""

    images: int = 0
    """Different images that have a sketch."""
    refused: int = 0
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
    given = parser.parse_args()
    families = {name: draw(given.images, given.seed) for name, draw in FAMILIES.items()}
    families |= {str(path): folder(path, given.images, given.seed) for path in given.folder}
    print("| family | different images | false refusals | copies | recall |\n|---|---|---|---|---|")
    for name, images in families.items():
        found = measure(images, given.copied, given.seed)
        print(
            f"| {name} | {found.images} | {found.false_refusals:.1%} | {found.copies} "
            f"| {found.recall:.1%} | {dict(found.missed.most_common(3))}"
        )


def measure(images: Iterable[Image.Image], copied: int, seed: int) -> Figures:
    """The figures of a family. `copied` of its images are copied in every way of `copies`."""
    figures, rng = Figures(), random.Random(seed)
    drawn = [(image, looks(image)) for image in images]
    sketched = [(image, look) for image, look in drawn if look is not None]
    kept: list[Looks] = []
    for _, look in sketched:
        figures.images += 1
        if found(look, kept):
            figures.refused += 1
        else:
            kept.append(look)
    for image, look in rng.sample(sketched, min(copied, len(sketched))):
        for change, data in copies(image, rng):
            copy = looks(Image.open(BytesIO(data)))
            figures.copies += 1
            if copy is None or not found(copy, [look]):
                figures.missed[change] += 1
    return figures


def looks(image: Image.Image) -> Looks | None:
    """The hash and the sketch of an image, scaled as ingest scales it."""
    small = image.convert("RGB")
    small.thumbnail((ImagePolicy().longest_side,) * 2)
    drawn = sketch(small)
    if drawn is None:
        return None
    sketched = packed(drawn)
    return index_hash(sketched), sketched


def found(look: Looks, kept: Iterable[Looks]) -> bool:
    """Whether ingest would refuse the image after the kept ones."""
    near = [
        other
        for number, other in kept
        if (number ^ look[0]).bit_count() <= DedupPolicy().near_distance
    ]
    return any(alike(look[1], near))


if __name__ == "__main__":
    main()
