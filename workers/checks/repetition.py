"""Refuses captions of models that loop: "a red car a red car a red car"."""

from __future__ import annotations

from kaption.schemas import Caption, CheckResult
from kaption.workers.checks.words import words

_GRAM = 3
_MOST = 0.5
"""Largest share of repeated 3-grams."""


class RepetitionCheck:
    """Passes texts whose share of repeated 3-grams is at most a half; the value is that share."""

    name = "repetition"

    def check(self, caption: Caption) -> CheckResult:
        """Compare the number of different 3-grams with the number of all."""
        found = words(caption.text)
        grams = [tuple(found[at : at + _GRAM]) for at in range(len(found) - _GRAM + 1)]
        share = 1 - len(set(grams)) / len(grams) if grams else 0.0
        passed = share <= _MOST
        detail = "" if passed else f"{share:.0%} of the 3-grams are repeated"
        return CheckResult(name=self.name, passed=passed, value=share, detail=detail)


build = RepetitionCheck
