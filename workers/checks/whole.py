"""Refuses captions that a model's token limit cut in the middle of their only sentence."""

# ruff: noqa: RUF001  # typographic and CJK punctuation is what this is about

from __future__ import annotations

import re

from kaption.schemas import Caption, CheckResult
from kaption.workers.checks.check import GENERATED

_END = re.compile(r"[.!?…。！？｡।؟۔။។][\"'”’»›)\]」』）】》]*\s*\Z")
_SEPARATED = re.compile(r"[,;:，、；：،؛(\[{（【「《“„«&/–—-]\s*\Z")
_OPEN = {"(": ")", "“": "”", "«": "»", "「": "」", "『": "』", "（": "）", "【": "】", "《": "》"}
_OPENING = (
    "a an the and or of its their our which whose than und oder ein eine einen einem einer eines"
    " vom zum zur ou les du une dans avec aux los las una del gli della dello delle degli nella"
    " uma och ett og и или на या का के की"
)
_NEVER_LAST = frozenset(_OPENING.split())
"""In lower case: "vitamin A" ends well. "van" and "met" are left out, for they are English."""
_LETTER_BEFORE = frozenset(["letter", "vitamin", "grade", "plan", "type", "group"])
_ABBREVIATION = re.compile(r"\b(?:mr|mrs|ms|dr|prof|st|vs|no|fig|ca|approx|e\.g|i\.e)\.\Z", re.I)


class WholeCheck:
    """Passes captions that were not cut, and cut ones that end with a whole sentence.

    Not every captioner tells that it was cut. So captions of models must not end with a word, a
    separator or an open bracket after which something must come.
    """

    name = "whole"

    def check(self, caption: Caption) -> CheckResult:
        """Look at the end of a caption."""
        detail = ""
        if caption.truncated and not _ends(caption.text):
            detail = "cut in mid-sentence at the captioner's limit of tokens"
        elif caption.kind in GENERATED:
            detail = _lacking(caption.text)
        return CheckResult(name=self.name, passed=not detail, detail=detail)


def _ends(text: str) -> bool:
    return bool(_END.search(text)) and not _ABBREVIATION.search(text.rstrip())


def _lacking(text: str) -> str:
    """What the end of a text lacks; empty if nothing."""
    if _END.search(text):
        return ""
    before, last = ["", "", *text.split()][-2:]
    if last in _NEVER_LAST and not (last == "a" and before.lower() in _LETTER_BEFORE):
        return f"ends with {last!r}"
    if found := _SEPARATED.search(text):
        return f"ends with {found[0].strip()!r}"
    for opened, closed in _OPEN.items():
        if text.rfind(opened) > text.rfind(closed):
            return f"{opened!r} is not closed"
    # After a digit it means inches.
    quotes = re.findall(r'(?<!\d)"', text)
    return "a quotation is not closed" if len(quotes) % 2 and '"' not in text[-2:] else ""


build = WholeCheck
