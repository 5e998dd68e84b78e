"""A caption: one text for one image, with its score and its checks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from kaption.schemas.limits import LIST_ITEMS, Detail, Name, Text
from kaption.schemas.record import Record


class CaptionKind(StrEnum):
    """Where a caption came from."""

    ORIGINAL = "original"
    """The alt text of the page, cleaned."""
    RULE = "rule"
    """Built by rules from tags, OCR text and detected objects."""
    VLM = "vlm"
    """Written by a vision-language model that saw the image only."""
    FUSED = "fused"
    """Written by a vision-language model that saw the image and its context."""
    HUMAN = "human"
    """Written or corrected by a person."""


class CheckResult(Record):
    """The result of one text check on a caption."""

    name: Name
    passed: bool
    value: float | None = None
    """What the check measured, in the check's own unit."""
    detail: Detail = ""


class Caption(Record):
    """A text with its kind, its alignment score and its checks."""

    text: Text
    kind: CaptionKind
    model: Name | None = None
    """The captioner's model. Absent for the original alt text."""
    revision: Name | None = None
    """The revision of `model`."""
    prompt_id: Name | None = None
    """The prompt that `model` answered."""
    truncated: bool = False
    """`model` did not end by itself but reached its limit of tokens. `text` ends with the last
    whole sentence, where it has one."""
    score: float | None = None
    """Cosine of the image embedding and the text embedding, aggregated over `window_scores`."""
    window_scores: Annotated[tuple[float, ...], Field(max_length=LIST_ITEMS)] = ()
    """The cosine of each window of the text. A text that fits the scorer's context is one window.

    A longer text is cut into windows at clause boundaries."""
    fitted_text: Text | None = None
    """`text` cut to the scorer's context at a clause boundary. Absent where `text` fits whole."""
    checks: Annotated[tuple[CheckResult, ...], Field(max_length=LIST_ITEMS)] = ()
