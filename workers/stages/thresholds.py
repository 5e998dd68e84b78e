"""Thresholds that set themselves, from what the stream's texts score."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import Gauge

from kaption.schemas import IngestedPair
from kaption.workers.models.scorer import Scorer
from kaption.workers.policy.score import ThresholdPolicy
from kaption.workers.stages.mixture import estimate, floor, spread
from kaption.workers.stores.cosines import MOST_CELLS, Cell, Cosines, CosineSample, CosineStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THRESHOLD = Gauge(
    "kaption_threshold_cosine",
    "Cosine that texts must reach where thresholds set themselves, by the language and source that "
    "it was measured on; * stands for all. It moves: look whether the source, or the quality of "
    "its alt texts, changed.",
    ("stage", "language", "source"),
)
BOUND = Gauge(
    "kaption_threshold_bound_cosine",
    "Cosine below which people's decisions let no text be kept (kaption audit report --apply). It "
    "moves: somebody applied another report; repeat it with another target if too much is refused.",
    ("stage",),
)
OTHERS = 16
"""Images that a text is put to."""
_log = logging.getLogger(__name__)
_REREAD = 4
"""A cell is read again when a quarter of the texts that it had were seen since."""
_STEP = 0.1
"""The threshold in use moves when the estimate is so many standard deviations of the shuffled
cosines away. Estimates from 1,000 texts of one stream vary by about half of it."""


class Thresholds:
    """The thresholds of one stage's scorer. Called by one thread."""

    def __init__(
        self, stage: str, store: CosineStore, scorer: Scorer, policy: ThresholdPolicy
    ) -> None:
        self._stage = stage
        self._store = store
        self._recommended = scorer.recommended_score
        self._scorer = (scorer.revision, scorer.preprocessing_id)
        self._policy = policy
        self._held: dict[Cell, Cosines] = {}
        self._due: dict[Cell, int] = {}
        self._bound: float | None = None

    def learn(self, samples: Sequence[CosineSample]) -> None:
        """Count the cosines of a batch's alt texts. Raises Retry."""
        for cell, new in self._store.add(self._scorer, samples).items():
            if held := self._held.get(cell):
                held.matched.update(new.matched)
                held.shuffled.update(new.shuffled)

    def of(self, cells: Sequence[Cell]) -> list[float | None]:
        """The threshold for a text of each cell. Raises Retry.

        It is that of the narrowest cell with enough texts. Until one has enough, it is what the
        scorer recommends, else the floor. None: nothing is known yet. It is not below the bound
        that an audit has set.
        """
        self._read(cells)
        bound = self._store.bound(self._scorer)
        if bound != self._bound:
            told = {"stage": self._stage, "before": self._bound, "after": bound}
            _log.info("bound of the audit changed", extra=told)
            self._bound = bound
            if bound is not None:
                BOUND.labels(self._stage).set(bound)
        found = [self._threshold(cell) for cell in cells]
        if bound is None:
            return found
        return [bound if each is None else max(each, bound) for each in found]

    def _threshold(self, cell: Cell) -> float | None:
        for each in cell.wider():
            if (used := self._held[each].used) is not None:
                return used
        if self._recommended is not None:
            return self._recommended
        return floor(self._held[Cell()], self._policy)

    def _read(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            for each in dict.fromkeys(cell.wider()):
                self._due[each] = self._due.get(each, 0) - 1
        wanted = {each for cell in cells for each in cell.wider()}
        late = [each for each in wanted if self._due[each] <= 0]
        for cell, found in zip(late, self._store.read(self._scorer, late), strict=True):
            # Those read last stand last.
            self._held.pop(cell, None)
            self._held[cell] = found
            self._due[cell] = found.matched.total() // _REREAD
            self._settle(cell, found)
        for cell in [each for each in self._held if each not in wanted][:-MOST_CELLS]:
            del self._held[cell], self._due[cell]
            THRESHOLD.remove(self._stage, *cell)

    def _settle(self, cell: Cell, cosines: Cosines) -> None:
        """Keep the threshold in use, or move it to the estimate."""
        if cosines.matched.total() >= self._policy.warm_up_texts and cosines.shuffled:
            found, step = estimate(cosines, self._policy), _STEP * spread(cosines)
            if cosines.used is None or abs(found - cosines.used) > step:
                told = {"language": cell.language, "source": cell.source, "before": cosines.used}
                _log.info("threshold changed", extra=told | {"stage": self._stage, "after": found})
                self._store.use(self._scorer, cell, found)
                cosines.used = found
        if cosines.used is not None:
            THRESHOLD.labels(self._stage, *cell).set(cosines.used)


class ShownImage(NamedTuple):
    """An image of the stream, with its alt text."""

    sha256: str
    text: str
    row: NDArray[np.float32]


class Shuffles:
    """Puts each text to other images of the stream: those after it in its batch, and the last ones.

    So a batch of one record has shuffled pairs too. An image with the same alt text is none.
    """

    def __init__(self) -> None:
        self._recent: list[ShownImage] = []

    def cosines(
        self, batch: Sequence[ShownImage], texts: Sequence[tuple[int, NDArray[np.float32]]]
    ) -> list[list[float]]:
        """The cosines of each text, given by its index in the batch and its vector."""
        import numpy as np

        pool = [*batch, *self._recent]
        self._recent = pool[:OTHERS]
        rows = np.stack([each.row for each in pool])
        found = []
        for at, vector in texts:
            own, steps = batch[at], (*range(at + 1, len(pool)), *range(at))
            others = [
                each
                for each in steps
                if pool[each].sha256 != own.sha256 and pool[each].text != own.text
            ]
            found.append([float(cosine) for cosine in rows[others[:OTHERS]] @ vector])
        return found


def cell_of(pair: IngestedPair) -> Cell:
    """The cell of a pair's alt text."""
    return Cell(pair.detected_language or "", pair.source or "")
