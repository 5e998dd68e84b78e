"""Refuses captions of models that loop: "a red car a red car a red car"."""

from __future__ import annotations

from kaption.schemas import Caption, CheckResult
from kaption.workers.checks.words import words
from kaption.workers.policy import SelectPolicy

_GRAM = 3
_MOST = 0.5
"""Largest share of repeated 3-grams."""


def build(policy: SelectPolicy) -> RepetitionCheck:
    """Make the check with the policy's limit."""
    return RepetitionCheck(_MOST)


class RepetitionCheck:
    """Passes texts whose share of repeated 3-grams is at most `most`; the value is that share."""

    name = "repetition"

    def __init__(self, most: float) -> None:
        self._most = most

    def check(self, caption: Caption) -> CheckResult:
        """Compare the number of different 3-grams with the number of all."""
        found = words(caption.text)
        grams = [tuple(found[at : at + _GRAM]) for at in range(len(found) - _GRAM + 1)]
        share = 1 - len(set(grams)) / len(grams) if grams else 0.0
        passed = share <= self._most
        detail = "" if passed else f"{share:.0%} of the 3-grams are repeated"
        return CheckResult(name=self.name, passed=passed, value=share, detail=detail)
