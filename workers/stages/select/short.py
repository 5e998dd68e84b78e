"""Short texts of people and rules, such as "a cow" or "Red vase".

Words cannot tell a sound short text from an empty one in every script: "a cow" is one word in
German, and one letter in Chinese. A count of words would refuse both, a list of nouns knows one
language, and "a photo of a cow" is longer and says no more. Other images can: a text that says
nothing fits them as well. So a short one is kept only where no longer one is, and where its
specificity is above `SelectPolicy.short_specificity`. A model can write more, so its short captions
fail.
"""

from __future__ import annotations

from collections.abc import Sequence

from kaption.schemas import Caption
from kaption.workers.checks.check import GENERATED
from kaption.workers.policy.select import SelectPolicy

_LENGTH = "length"
"""The name of the check."""


def excused(caption: Caption, policy: SelectPolicy) -> Caption:
    """The caption, whose length passes for now if it is a short text of people or rules.

    Without other images nothing can tell what it is worth, so its length fails.
    """
    if not policy.bank_images or caption.kind in GENERATED or not _is_short(caption, policy):
        return caption
    return _with_length(caption, passed=True, detail="")


def apart(captions: Sequence[Caption], policy: SelectPolicy) -> tuple[list[Caption], list[Caption]]:
    """The long ones and the short ones."""
    short = [each for each in captions if _is_short(each, policy)]
    return [each for each in captions if not _is_short(each, policy)], short


def is_telling(caption: Caption, policy: SelectPolicy) -> bool:
    """Whether a short text fits its own image better than others; False where that is unknown."""
    return caption.specificity is not None and caption.specificity > policy.short_specificity


def refused(caption: Caption, policy: SelectPolicy) -> Caption:
    """A short text that is not kept. The detail of its length says why."""
    count = next(each.value or 0.0 for each in caption.checks if each.name == _LENGTH)
    given = "unknown" if caption.specificity is None else f"{caption.specificity:.3f}"
    detail = (
        f"{count:.0f} words, less than {policy.min_words}; score {caption.score or 0.0:.3f};"
        f" specificity {given}, above {policy.short_specificity:.3f} is accepted"
    )
    return _with_length(caption, passed=False, detail=detail)


def _is_short(caption: Caption, policy: SelectPolicy) -> bool:
    """Whether the check `length` found fewer words than the policy asks for, but one at least."""
    found = next((each.value for each in caption.checks if each.name == _LENGTH), None)
    return found is not None and 0 < found < policy.min_words


def _with_length(caption: Caption, *, passed: bool, detail: str) -> Caption:
    checks = [
        each.model_copy(update={"passed": passed, "detail": detail})
        if each.name == _LENGTH
        else each
        for each in caption.checks
    ]
    return caption.model_copy(update={"checks": tuple(checks)})
