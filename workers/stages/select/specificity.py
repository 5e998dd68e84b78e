"""Specificity: how much better a text fits its own image than other images.

A cosine alone prefers the safe, short phrase: "on a beach" fits each image of a beach well. Such
texts are hubs, near to many images. The correction is that of CSLS (Conneau et al., Word
Translation Without Parallel Data, ICLR 2018): the text's mean cosine with its nearest images is
taken off. QB-Norm (Bogolin et al., Cross Modal Retrieval with Querybank Normalisation, CVPR 2022)
divides by a sum of exponentials over a bank of texts instead. docs/evaluation.md compares them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from kaption.workers.stores.bank import Bank, Embedded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kaption.workers.models.scorer import Scorer

COPY = 0.1
"""An image is a copy where its distance, 1 - cosine, is below this share of the mean distance to
the images of the bank. A text fits copies alike, so they say nothing about it.

The share is relative, because some scorers embed all images close together. Measured on 150 images
of the held-out crawl: with the demo's scorer 99 % of copies by JPEG, scaling, brightness and a crop
of 5 % are below 0.08, and no other image is below 0.12."""
_ROUNDING = 1e-3
"""Distance that float16 may give two embeddings of one image."""
_REREAD = 4
"""The bank is read again when a quarter of the images that it had were seen since. So a bank that
fills is read often, and a full one seldom."""


class Others:
    """The images that the captions of a batch are compared with.

    These are the bank's images and, until the bank is full, those of the batch.
    """

    def __init__(self, bank: Bank, scorer: Scorer) -> None:
        self._bank = bank
        self._of = (scorer.revision, scorer.preprocessing_id)
        self._held: Embedded | None = None
        self._due = 0

    def beside(self, batch: Embedded) -> Embedded:
        """The bank's images and, where it is not full, those of the batch. Raises Retry."""
        import numpy as np

        self._due -= len(batch.sha256s)
        if self._held is None or self._due <= 0:
            self._held = self._bank.get(*self._of)
            self._due = len(self._held.sha256s) // _REREAD
        if len(self._held.sha256s) >= self._bank.size:
            return self._held
        known = set(self._held.sha256s)
        new = {sha256: at for at, sha256 in enumerate(batch.sha256s) if sha256 not in known}
        if not known:
            return Embedded(list(new), batch.rows[list(new.values())])
        rows = np.concatenate([self._held.rows, batch.rows[list(new.values())]])
        return Embedded([*self._held.sha256s, *new], rows)

    def accept(self, images: Embedded) -> None:
        """Offer accepted images to the bank. Raises Retry."""
        self._bank.put(*self._of, images)


def bank_id(others: Embedded) -> str | None:
    """16 hex digits that name the images, whatever their order; None for none."""
    if not others.sha256s:
        return None
    text = "\n".join(sorted(others.sha256s))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def mean_of_nearest(
    texts: NDArray[np.float32], own: Embedded, others: Embedded, nearest: int
) -> list[float | None]:
    """The mean cosine of each text with the `nearest` images that it fits best among `others`.

    `texts` is (n, d), with the image of each at the same index of `own`. A text's own image and
    copies of it are left out. None: no other image remains.
    """
    import numpy as np

    if not len(texts) or not others.sha256s:
        return [None] * len(texts)
    # One product for texts and images: (2n, m).
    cosines, alike = np.split(np.concatenate([texts, own.rows]) @ others.rows.T, 2)
    same = np.array(own.sha256s)[:, None] == np.array(others.sha256s)[None, :]
    distances = 1 - alike
    least = np.maximum(COPY * distances.mean(axis=1, keepdims=True), _ROUNDING)
    cosines[same | (distances < least)] = -np.inf
    count = min(nearest, cosines.shape[1])
    best = np.partition(cosines, -count, axis=1)[:, -count:]
    found = np.isfinite(best)
    sums, counts = np.where(found, best, 0.0).sum(axis=1), found.sum(axis=1)
    return [
        float(total / number) if number else None
        for total, number in zip(sums, counts, strict=True)
    ]
