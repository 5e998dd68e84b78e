"""What select asks of a text check. A check is found by its module: adding one edits no list."""

from __future__ import annotations

from typing import Protocol

from kaption.schemas import Caption, CheckResult


class Check(Protocol):
    """Each check module in this package has ``build(policy: SelectPolicy) -> Check``."""

    name: str
    """The module's name; also in `CheckResult` and in the detail of a rejection."""

    def check(self, caption: Caption) -> CheckResult:
        """Judge one caption, originals included. Called by one thread; raises nothing."""
