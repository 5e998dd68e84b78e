"""The interface of a check."""

from __future__ import annotations

from typing import Protocol

from kaption.schemas import Caption, CheckResult


class Check(Protocol):
    """Judges the text of a caption."""

    name: str
    """In `CheckResult` and in the detail of a rejection; no two checks may have the same."""

    def check(self, caption: Caption) -> CheckResult:
        """Judge one caption, alt texts included. Called by many threads at once; raises nothing.

        `detail` says why a caption fails, and is empty for one that passes.
        """
