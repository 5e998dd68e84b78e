"""Tries a scorer on small images: a model that loads may still be unable to score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kaption.connections.errors import Fatal
from kaption.workers.models.device import first_line
from kaption.workers.models.scorer import Scorer
from kaption.workers.models.windows import fit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

_COLOURS = {
    "red": (220, 20, 20),
    "green": (20, 160, 40),
    "blue": (20, 40, 220),
    "yellow": (240, 220, 20),
}
_NEAR = 1e-3


@dataclass(frozen=True, slots=True)
class Trial:
    """What a scorer made of images of one coloured disc each."""

    right: int
    """Images for which the text with the right colour had the highest score."""
    images: int

    def __str__(self) -> str:
        told = f"told the colour of {self.right} of {self.images} discs"
        if 2 * self.right > self.images:
            return told
        return f"{told}, which a scorer of general images does: are these its weights?"


def disc(colour: str) -> Image.Image:
    """An image of a disc in one of `_COLOURS`."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (224, 224), (245, 245, 245))
    ImageDraw.Draw(image).ellipse((40, 40, 184, 184), fill=_COLOURS[colour])
    return image


def try_scorer(scorer: Scorer) -> Trial:
    """Score four images against four texts. Raises Fatal where the scores mean nothing.

    Whether the right text wins is reported and not required: a scorer of X-rays need not know it.
    """
    import numpy as np

    texts = [f"a {name} circle" for name in _COLOURS]
    images = scorer.encode_images([scorer.preprocess(disc(name)) for name in _COLOURS])
    words = scorer.encode_texts(texts)
    if images.shape != words.shape or len(images) != len(texts):
        raise _useless(scorer, f"images give {images.shape} and texts {words.shape}")
    _require_unit_rows(scorer, images, "images")
    _require_unit_rows(scorer, words, "texts")
    _require_context(scorer)
    right = int((np.argmax(images @ words.T, 1) == np.arange(len(texts))).sum())
    return Trial(right, len(texts))


def _require_context(scorer: Scorer) -> None:
    """Raise Fatal where a text as long as the context fails, as it does without a position."""
    most = scorer.context_length
    text = fit("a red circle on the table, " * most, scorer.count_tokens, most)
    try:
        rows = scorer.encode_texts([text])
    except (RuntimeError, IndexError, ValueError) as error:
        raise Fatal(
            f"the scorer {scorer.model!r} loads and cannot score a text as long as its context of"
            f" {most} tokens: {first_line(error)}. Correct context_length in its configuration, or"
            " take another model"
        ) from error
    _require_unit_rows(scorer, rows, "texts")


def _require_unit_rows(scorer: Scorer, rows: NDArray[np.float32], noun: str) -> None:
    import numpy as np

    if not np.isfinite(rows).all():
        raise _useless(scorer, f"its embeddings of {noun} are not finite numbers")
    if np.abs(np.linalg.norm(rows, axis=1) - 1).max() > _NEAR:
        raise _useless(scorer, f"its embeddings of {noun} are not unit vectors")
    if len(rows) > 1 and (rows == rows[0]).all():
        raise _useless(scorer, f"different {noun} have the same embedding")


def _useless(scorer: Scorer, why: str) -> Fatal:
    return Fatal(
        f"the scorer {scorer.model!r} loads and cannot score: {why}. Its weights may be damaged or"
        " of another model, or its precision too small: fetch it again, set clip.precision to"
        " fp32, or take another model"
    )
