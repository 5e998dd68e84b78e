"""The judge: a CLIP of the demo's kind that Kaption never saw, and that never saw Kaption's.

It is trained from other weights on other scenes and sentences than the demo's CLIP, which selects
the captions. A caption that only flatters the selector gains nothing with the judge.

`python -m tools.evaluate.judge` trains it once into a cache folder.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from tools.demo_models.train_clip import ClipRecipe, train
from tools.evaluate import cache, trained_once

# The demo's CLIP and captioner use seeds from 1,000,000 on; crawls and held-out scenes lower ones.
RECIPE = ClipRecipe(seed=5_000_000)
"""The demo's recipe from another seed. A third of its steps was rejected: such a judge finds 91 %
of the images by their full descriptions, and cannot tell a caption that is better."""


def folder() -> Path:
    """The folder of the judge. Another recipe has another folder."""
    digest = hashlib.sha256(repr(RECIPE).encode()).hexdigest()[:8]
    return cache() / f"judge-{digest}"


def trained() -> Path:
    """The judge's folder, for `ClipUnderTest`. Trains it where it is missing."""
    return trained_once(folder(), lambda out: train(out, RECIPE))


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0]).parse_args()
    print(trained())
