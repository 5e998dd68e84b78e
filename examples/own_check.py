"""A check of your own: refuses captions with words that your data must not have."""

from __future__ import annotations

from pydantic import BaseModel

from kaption.schemas import Caption, CheckResult
from kaption.workers.checks.words import words


class BannedWordsSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of this check."""

    words: frozenset[str] = frozenset({"lorem", "ipsum"})
    """In lower case."""


class BannedWords:
    """Passes captions without any of the words; the value is how many there are."""

    name = "banned_words"

    def __init__(self, settings: BannedWordsSettings) -> None:
        self._banned = settings.words

    def check(self, caption: Caption) -> CheckResult:
        """Look for each word."""
        found = [word for word in words(caption.text) if word in self._banned]
        detail = f"has {found[0]!r}" if found else ""
        return CheckResult(name=self.name, passed=not found, value=len(found), detail=detail)
