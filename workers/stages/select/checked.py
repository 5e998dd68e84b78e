"""A pair's captions after the checks: which passed, which failed, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kaption.schemas import Caption, CaptionedPair
from kaption.workers.runtime.stage import Incoming

if TYPE_CHECKING:
    from kaption.workers.stages.alignment import ImageInput


@dataclass(frozen=True, slots=True)
class SelectInput:
    """A pair's checked captions."""

    passed: tuple[Caption, ...]
    failed: tuple[Caption, ...]
    image: ImageInput
    seconds: float
    """Seconds that the preparation took."""


Batch = Sequence[tuple[Incoming[CaptionedPair], SelectInput]]


def passes(caption: Caption) -> bool:
    """Whether the caption passed every check that looked at it."""
    return all(result.passed for result in caption.checks)


def failures(failed: Sequence[Caption]) -> str:
    """Which checks the captions failed and why, for the detail of a rejection."""
    return "; ".join(
        f"{caption.kind.value}: "
        + ", ".join(f"{each.name} ({each.detail})" for each in caption.checks if not each.passed)
        for caption in failed
    )
