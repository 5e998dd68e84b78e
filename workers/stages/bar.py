"""The bar: which images the captioners that come first wrote nothing good enough for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from kaption.schemas import Caption, ScoredPair
from kaption.workers.checks.check import Check
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.stages.alignment import Alignment
from kaption.workers.stages.thresholds import Thresholds, cell_of

if TYPE_CHECKING:
    from kaption.workers.stages.alignment import ImageInput


class BarInput(NamedTuple):
    """One pair with what was written for it."""

    pair: ScoredPair
    image: ImageInput
    captions: Sequence[Caption]


class Bar:
    """Scores captions as select will, and compares the best one with a threshold.

    It is asked between two rounds of the stage recaption. The alternative, to send pairs from
    select back to recaption, makes a loop of topics: a pair would have two outcomes in select, and
    lag would not tell how much is left. A further stage would cost a topic and a deployment. Here
    both rounds are one batch with one outcome for each record; the image was embedded by the stage
    score, so only texts are encoded.
    """

    def __init__(
        self, bar: float | None, alignment: Alignment, select: SelectPolicy, checks: Sequence[Check]
    ) -> None:
        """`bar` is the least score; None: the threshold of select. `checks` are those of select."""
        self._fixed = select.min_score if bar is None else bar
        self._checks = checks
        self.alignment = alignment
        self.policies = (select, alignment.policy)
        """What a judgement depends on besides the policy of recaption."""

    def setup(self) -> None:
        """Load the scorer. Raises Fatal."""
        self.alignment.setup()
        self._thresholds = Thresholds(
            "recaption",
            self.alignment.cosines,
            self.alignment.scorer,
            self.alignment.policy.thresholds,
        )

    def of(self, pairs: Sequence[ScoredPair]) -> list[float | None]:
        """The bar of each pair; None where no threshold is known yet. Raises Retry."""
        if self._fixed is not None:
            return [self._fixed] * len(pairs)
        return self._thresholds.of([cell_of(pair) for pair in pairs])

    def below(self, judged: Sequence[BarInput], bars: Sequence[float | None]) -> list[bool]:
        """Whether no caption of a pair passes the checks and reaches its bar.

        Raises OutOfMemory, Retry.
        """
        rows = self.alignment.embed([it.pair.image for it in judged], [it.image for it in judged])
        passed = [
            (at, caption)
            for at, it in enumerate(judged)
            for caption in it.captions
            if caption.text.strip() and all(each.check(caption).passed for each in self._checks)
        ]
        reached = {
            at
            for (at, _), found in zip(passed, self.alignment.scores(rows, passed), strict=True)
            if (bar := bars[at]) is not None and found.score >= bar
        }
        return [at not in reached for at in range(len(judged))]
