"""Is it written language at all: letters rather than codes, symbols or broken encoding."""

from __future__ import annotations

from unicodedata import category

from kaption.schemas import Caption, CheckResult
from kaption.workers.policy import SelectPolicy

_BROKEN = "\ufffd"
_LEAST = 0.5
"""Least share of letters (any script) among a caption's visible characters."""


def build(policy: SelectPolicy) -> LanguageCheck:
    """With the policy's limit."""
    return LanguageCheck(_LEAST)


class LanguageCheck:
    """Passes texts of which at least `least` of all visible characters are letters of any script.

    The value is that share. Which language it is, ingest has judged for the alt text; a short
    caption is too little to tell languages apart reliably.
    """

    name = "language"

    def __init__(self, least: float) -> None:
        self._least = least

    def check(self, caption: Caption) -> CheckResult:
        """Count letters and the marks that combine with them."""
        visible = [char for char in caption.text if not char.isspace()]
        letters = sum(category(char)[0] in "LM" for char in visible)
        share = letters / len(visible) if visible else 0.0
        broken = _BROKEN in caption.text
        passed = share >= self._least and not broken
        detail = "" if passed else "broken characters" if broken else f"{share:.0%} letters"
        return CheckResult(name=self.name, passed=passed, value=share, detail=detail)
