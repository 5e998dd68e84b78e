"""Refuses captions that are codes, symbols or broken encoding rather than written language."""

from __future__ import annotations

from unicodedata import category

from kaption.schemas import Caption, CheckResult

_BROKEN = "\ufffd"
_LEAST = 0.5
"""Least share of letters (any script) among a caption's visible characters."""


class LanguageCheck:
    """Passes texts in which at least half of the visible characters are letters.

    Letters of any script count; the value is their share. The check does not detect the language:
    ingest did for the alt text, and a caption is too short to tell languages apart reliably.
    """

    name = "language"

    def check(self, caption: Caption) -> CheckResult:
        """Count letters, and the marks that combine with them."""
        visible = [char for char in caption.text if not char.isspace()]
        letters = sum(category(char)[0] in "LM" for char in visible)
        share = letters / len(visible) if visible else 0.0
        broken = _BROKEN in caption.text
        passed = share >= _LEAST and not broken
        detail = "" if passed else "broken characters" if broken else f"{share:.0%} letters"
        return CheckResult(name=self.name, passed=passed, value=share, detail=detail)


build = LanguageCheck
