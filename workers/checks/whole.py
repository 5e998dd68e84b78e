"""Refuses captions that a model's token limit cut in the middle of their only sentence."""

# ruff: noqa: RUF001  # typographic and CJK punctuation is what this is about

from __future__ import annotations

import re

from kaption.schemas import Caption, CheckResult
from kaption.workers.policy import SelectPolicy

_END = re.compile(r"[.!?…。！？｡।؟۔][\"'”’»›)\]」』）】》]*\s*\Z")


def build(policy: SelectPolicy) -> WholeCheck:
    """Make the check; it has no settings."""
    return WholeCheck()


class WholeCheck:
    """Passes captions that were not cut, and cut ones that end with a whole sentence."""

    name = "whole"

    def check(self, caption: Caption) -> CheckResult:
        """Look at the end of a caption that was cut."""
        passed = not caption.truncated or bool(_END.search(caption.text))
        detail = "" if passed else "cut in mid-sentence at the captioner's limit of tokens"
        return CheckResult(name=self.name, passed=passed, detail=detail)
