"""Refuses captions that are codes, symbols or broken encoding, or in a language not asked for."""

from __future__ import annotations

from unicodedata import category

from kaption.connections.errors import Fatal
from kaption.schemas import Caption, CaptionedPair, CheckResult
from kaption.workers.policy.ingest import TextPolicy
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.text.language import LanguageDetector

_BROKEN = "\ufffd"
_LEAST = 0.5
"""Least share of letters (any script) among a caption's visible characters."""
ALT_TEXT = "alt_text"
"""In `select.languages`: the language of the pair's alt text."""


class LanguageCheck:
    """Passes texts in which at least half of the visible characters are letters.

    Letters of any script count; the value is their share. Where the policy names languages, a text
    that is surely in another one fails. Without a pair `alt_text` names none.
    """

    name = "language"

    def __init__(self, policy: SelectPolicy) -> None:
        self._wanted = [each.partition("-")[0].lower() for each in policy.languages]
        named = tuple(each for each in self._wanted if each != ALT_TEXT)
        self._detector = LanguageDetector(TextPolicy(languages=named))
        if named:
            try:
                self._detector.load()
            except Fatal as error:
                raise Fatal(f"select.languages: {error}") from error

    def check(self, caption: Caption) -> CheckResult:
        """Judge a caption whose pair is not known."""
        return self._judged(caption, None)

    def check_pair(self, caption: Caption, pair: CaptionedPair) -> CheckResult:
        """Judge a caption of this pair."""
        return self._judged(caption, pair.detected_language)

    def _judged(self, caption: Caption, alt_text: str | None) -> CheckResult:
        visible = [char for char in caption.text if not char.isspace()]
        # The marks that combine with letters count too.
        letters = sum(category(char)[0] in "LM" for char in visible)
        share = letters / len(visible) if visible else 0.0
        detail = ""
        if _BROKEN in caption.text:
            detail = "broken characters"
        elif share < _LEAST:
            detail = f"{share:.0%} letters"
        elif self._wanted:
            detail = self._other(caption.text, alt_text)
        return CheckResult(name=self.name, passed=not detail, value=share, detail=detail)

    def _other(self, text: str, alt_text: str | None) -> str:
        named = [alt_text if each == ALT_TEXT else each for each in self._wanted]
        wanted = [each.partition("-")[0] for each in named if each]
        found = self._detector.detect(text, wanted[0]) if wanted else None
        if found is None or found.tag in wanted:
            return ""
        return f"is {found.tag}, not {' or '.join(wanted)}"


build = LanguageCheck
