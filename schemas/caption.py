"""One text for one image, and what is known about how well it fits."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from kaption.schemas.limits import LIST_ITEMS, Detail, Name, Text
from kaption.schemas.record import Record


class CaptionKind(StrEnum):
    """Where a caption came from."""

    ORIGINAL = "original"
    RULE = "rule"
    VLM = "vlm"
    FUSED = "fused"
    HUMAN = "human"


class CheckResult(Record):
    """What one text check said of a caption; `value` is in the check's own unit."""

    name: Name
    passed: bool
    value: float | None = None
    detail: Detail = ""


class Caption(Record):
    """A text with its origin, its alignment score and its checks."""

    text: Text
    kind: CaptionKind
    model: Name | None = None
    """The captioner; none for the original alt text."""
    revision: Name | None = None
    prompt_id: Name | None = None
    score: float | None = None
    """Cosine of image and text embedding, aggregated over `window_scores`."""
    window_scores: Annotated[tuple[float, ...], Field(max_length=LIST_ITEMS)] = ()
    fitted_text: Text | None = None
    """The text cut to the scorer's context at a clause boundary; none where `text` fits whole."""
    checks: Annotated[tuple[CheckResult, ...], Field(max_length=LIST_ITEMS)] = ()
