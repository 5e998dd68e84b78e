"""How well texts find their own image among all kept ones, by a judge that selects nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kaption.workers.demo.scenes import describe
from tools.demo_models.measure import ClipUnderTest
from tools.evaluate import judge
from tools.evaluate.figures import Figure, mean, share
from tools.evaluate.held_out import Kept

Ranks = NDArray[np.int64]


def measure(kept: Sequence[Kept], folder: Path | None = None) -> list[Figure]:
    """Recall@1 and @5 from text to image.

    `folder` holds another judge than our own: an open_clip model with its tokenizer.

    Every text searches among the images of all kept pairs, so that the lines can be compared. The
    judge reads the first 77 tokens of a text. "full description" is the scene's own description: no
    text can be expected to do better with this judge.
    """
    clip = ClipUnderTest(folder or judge.trained())
    images = clip.images([one.image for one in kept])
    again = np.array([one.recaptioned for one in kept])

    def found(text: Callable[[Kept], str]) -> Ranks:
        return ranks(clip.texts([text(one) or " " for one in kept]), images)

    raw, cleaned = found(lambda one: one.pair.text), found(lambda one: one.pair.clean_text)
    output, full = found(lambda one: one.caption), found(lambda one: describe(one.truth.scene))
    figures = [
        *recalls("raw alt text", raw),
        *recalls("cleaned alt text", cleaned),
        *recalls("output", output),
        *recalls("full description (the judge's best)", full),
    ]
    if again.any():
        figures += recalls("recaptioned pairs, raw alt text", raw[again])
        figures += recalls("recaptioned pairs, output", output[again])
        figures += recalls("recaptioned pairs, full description", full[again])
        words = [float(len(one.caption.split())) for one in kept if one.recaptioned]
        figures.append(mean("recaptioned pairs, words of the output", words))
    return figures


def ranks(
    texts: NDArray[np.float32],
    images: NDArray[np.float32],
    own: Ranks | None = None,
) -> Ranks:
    """How many images come before the own one, for each text. Equal cosines come before it.

    Both are unit rows of shape (n, d). `own` are the rows of the texts' own images; without it they
    have the order of the texts.
    """
    cosines = texts @ images.T
    at = np.arange(len(texts)) if own is None else own
    ahead: Ranks = (cosines >= cosines[np.arange(len(texts)), at][:, None]).sum(1) - 1
    return ahead


def recalls(what: str, found: Ranks) -> list[Figure]:
    """Recall@1 and Recall@5."""
    return [share(f"{what}: Recall@{k}", found < k) for k in (1, 5)]
