"""Refuses captions that are too short or too long."""

from __future__ import annotations

from kaption.schemas import Caption, CheckResult
from kaption.workers.checks.words import count_words
from kaption.workers.policy.select import SelectPolicy


class LengthCheck:
    """Passes texts of `min_words` to `max_words` words; the value is their number.

    The stage select excuses short texts of people and rules that are specific: see its short.py.
    """

    name = "length"

    def __init__(self, policy: SelectPolicy) -> None:
        self._least, self._most = policy.min_words, policy.max_words

    def check(self, caption: Caption) -> CheckResult:
        """Count words, or estimate them in scripts without spaces."""
        count = count_words(caption.text)
        passed = self._least <= count <= self._most
        detail = "" if passed else f"{count} words, {self._least} to {self._most} are accepted"
        return CheckResult(name=self.name, passed=passed, value=count, detail=detail)


build = LengthCheck
