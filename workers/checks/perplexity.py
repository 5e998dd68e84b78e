"""Refuses captions of models that a causal language model finds improbable: word salad.

A loop is probable, so its perplexity is low: the check `repetition` finds those.
"""

from __future__ import annotations

import math

from kaption.connections.errors import Fatal
from kaption.schemas import Caption, CheckResult
from kaption.workers.checks.check import GENERATED
from kaption.workers.models.causal import CausalModel, load_causal
from kaption.workers.policy.select import SelectPolicy

_HIGHEST = 1e9
"""More is not told: infinity is no number in JSON."""


class PerplexityCheck:
    """Passes captions with at most `select.perplexity.most`; the value is their perplexity.

    Perplexity is exp(mean of -log p over the tokens). It compares texts for one model only. Texts
    of people and of rules get the value and pass: product names and lists are improbable, and
    right. Where `most` is unset, the stage select measures one for each language.
    """

    name = "perplexity"

    def __init__(self, model: CausalModel, most: float | None) -> None:
        self.model = model
        self.most = most
        self.revision, self.losses, self.try_out = model.revision, model.losses, model.try_out

    def check(self, caption: Caption) -> CheckResult:
        """Read one caption. A stage reads those of a batch at once."""
        (loss,) = self.model.losses([caption.text])
        return self.judged(caption, loss, self.most)

    def judged(self, caption: Caption, loss: float, most: float | None) -> CheckResult:
        """The result for a caption with this loss; None accepts any perplexity."""
        value = min(math.exp(min(loss, 100.0)), _HIGHEST)
        passed = most is None or value <= most or caption.kind not in GENERATED
        detail = "" if passed else f"{value:.0f} is more than {most:.0f}"
        return CheckResult(name=self.name, passed=passed, value=value, detail=detail)


def build(policy: SelectPolicy) -> PerplexityCheck:
    """Load the model. Raises Fatal with what to do where it cannot be loaded."""
    given = policy.perplexity
    if not given.model:
        raise Fatal(
            "the check 'perplexity' has no model: set select.perplexity.model to a causal language"
            " model, or take it out of select.checks"
        )
    return PerplexityCheck(load_causal(given), given.most)
