"""Gives the captions of a batch their numbers, and chooses those that are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kaption.schemas import Caption
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.stages.alignment import Alignment, scored
from kaption.workers.stages.select.agreement import agreed
from kaption.workers.stages.select.grounding import Located, grounded
from kaption.workers.stages.select.names import names_in
from kaption.workers.stages.select.ranking import rank
from kaption.workers.stages.select.specificity import bank_id, mean_of_nearest
from kaption.workers.stores.bank import Embedded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kaption.workers.models.windows import TextScore


class Comparison:
    """The images of a batch and the other images that its captions are compared with."""

    def __init__(
        self, alignment: Alignment, policy: SelectPolicy, images: Embedded, others: Embedded
    ) -> None:
        self._alignment = alignment
        self._policy = policy
        self._images = images
        self._others = others
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self.bank_id = bank_id(others)
        """Names the other images; None where there are none."""

    def measured(self, texts: Located) -> list[Caption]:
        """The captions with score and specificity. Raises OutOfMemory."""
        import numpy as np

        if not texts:
            return []
        found = self._alignment.scores(self._images.rows, texts)
        owners = [at for at, _ in texts]
        own = Embedded([self._images.sha256s[at] for at in owners], self._images.rows[owners])
        vectors = np.stack([each.vector for each in found])
        means = mean_of_nearest(vectors, own, self._others, self._policy.nearest_images)
        self._vectors |= {text.text: row for (_, text), row in zip(texts, vectors, strict=True)}
        return [
            _measured(caption, each, mean)
            for (_, caption), each, mean in zip(texts, found, means, strict=True)
        ]

    def kept(
        self,
        captions: Sequence[Sequence[Caption]],
        limits: Sequence[float],
        checked: Callable[[Caption], Caption | None],
        alt_texts: Sequence[str],
    ) -> list[list[Caption]]:
        """The captions of each pair that are kept, best first, after bad details were cut out.

        Captions are ranked before the cuts. After them, a caption that lost a false detail would
        rank below one whose false detail no other caption contradicts.

        `limits` are the least scores. `checked` gives a shortened caption its checks, or None where
        it fails one. `alt_texts` are those of the pages. Raises OutOfMemory.
        """
        names = [names_in(text) for text in alt_texts]
        kept = [
            rank(each, self._policy, limit, self._vectors, its)
            for each, limit, its in zip(captions, limits, names, strict=True)
        ]

        def accepted(at: int, shorter: Caption) -> Caption | None:
            fits = shorter.score is not None and shorter.score >= limits[at]
            return checked(shorter) if fits else None

        settled = [agreed(*each) for each in zip(kept, captions, strict=True)]
        cut = [
            (at, n, less.model_copy(update={"score": None}))
            for at, each in enumerate(settled)
            for n, less in enumerate(each)
            if less.text != kept[at][n].text
        ]
        found = self.measured([(at, less) for at, _, less in cut])
        for (at, n, _), less in zip(cut, found, strict=True):
            kept[at][n] = accepted(at, less) or kept[at][n]
        return kept if self.bank_id is None else grounded(kept, self.measured, accepted, names)


def _measured(caption: Caption, found: TextScore, mean: float | None) -> Caption:
    known = caption if caption.score is not None else scored(caption, found)
    specificity = None if mean is None or known.score is None else known.score - mean
    return known.model_copy(update={"specificity": specificity})
