"""Refuses captions in which a model repeats its instructions or talks about itself."""

from __future__ import annotations

import re

from kaption.schemas import Caption, CaptionKind, CheckResult

# Phrases of our prompts and of the usual chat templates that no description of an image contains.
_INSTRUCTIONS = re.compile(
    r"""
      \b(user|assistant|human|system|question|answer|appearance|texture|context|caption)\s*:
    | <\|?\s*/?(image|im_start|im_end|s|pad|eos|bos|unk|endoftext|start|end|inst)\b[^>]*>
    | \[/?inst\]
    | \bonly\ what\ (you|is|can\ be)\ (see|seen|visible)
    | \bdescribe\ (the|this|what|only|its|in)\b
    | \bthe\ web\ page\ (says|calls)\b
    | \bas\ an?\ (ai|artificial|language\ model)\b
    | \bi\ (cannot|can't|can’t|am\ unable|am\ sorry)\b
    | \b(image|picture|text|prompt)\ (that\ )?you\ (have\ )?(provided|gave|given|uploaded)\b
    """,  # noqa: RUF001  # the typographic apostrophe is what models write
    re.IGNORECASE | re.VERBOSE,
)


class LeakageCheck:
    """Passes captions of models without such phrases, and all others: they had no prompt."""

    name = "leakage"

    def check(self, caption: Caption) -> CheckResult:
        """Look for the first instruction-like phrase."""
        generated = caption.kind in {CaptionKind.VLM, CaptionKind.FUSED}
        found = _INSTRUCTIONS.search(caption.text) if generated else None
        detail = f"instruction-like text: {found[0]!r}" if found else ""
        return CheckResult(name=self.name, passed=found is None, detail=detail)


build = LeakageCheck
