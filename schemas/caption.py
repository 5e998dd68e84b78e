"""A caption: one text for one image, with its score and its checks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from kaption.schemas.limits import LIST_ITEMS, Detail, LanguageTag, Name, Text, Url
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


class TextSource(Record):
    """The pair that a text came from, where that is another pair with the same image."""

    pair_id: Name
    source: Name | None = None
    """The crawl or dataset of that pair."""
    page_url: Url | None = None
    image_url: Text | None = None
    """Where that pair's image was, and `crawled_url` what led there."""
    crawled_url: Text | None = None
    language: LanguageTag | None = None
    """Language of the text by detection, else the one that was given."""


class Doubt(Record):
    """A word that the captioner nearly wrote otherwise."""

    start: Annotated[int, Field(ge=0)]
    """Where the word begins in the captioner's `text`, in characters."""
    rivals: Annotated[tuple[Text, ...], Field(max_length=LIST_ITEMS)]
    """The other words that had a probability of 0.1 or more in its place, in lower case."""


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
    aspect: Name | None = None
    """What that prompt asked for: ``appearance``, ``texture``, ``context``, ``fused``, or an aspect
    of your own. Absent for captions that answer no prompt about an aspect."""
    truncated: bool = False
    """`model` did not end by itself but reached its limit of tokens. `text` ends with the last
    whole sentence, where it has one."""
    score: float | None = None
    """Cosine of the image embedding and the text embedding, aggregated over `window_scores`."""
    specificity: float | None = None
    """`score` less the mean cosine of the text and the other images that it fits best. Above zero,
    the text fits its own image better than those. Captions are ranked by it. Absent where it was
    not measured."""
    cut: Annotated[tuple[Text, ...], Field(max_length=LIST_ITEMS)] = ()
    """Details of the captioner's answer that `text` lacks: other candidates contradict them, or the
    image does. Texts of people are never cut."""
    doubts: Annotated[tuple[Doubt, ...], Field(max_length=LIST_ITEMS)] = ()
    """Words that `model` was not sure of. Absent where the captioner tells no probabilities, and in
    captions from which something was cut."""
    grounding: float | None = None
    """How much specificity the least fitting phrase of the text adds to it. Below zero, the text
    fits better without that phrase. Absent where no phrase can be left out."""
    window_scores: Annotated[tuple[float, ...], Field(max_length=LIST_ITEMS)] = ()
    """The cosine of each window of the text. A text that fits the scorer's context is one window.

    A longer text is cut into windows at clause boundaries."""
    fitted_text: Text | None = None
    """`text` cut to the scorer's context at a clause boundary. Absent where `text` fits whole, and
    where a person wrote it in the audit, which knows no scorer."""
    checks: Annotated[tuple[CheckResult, ...], Field(max_length=LIST_ITEMS)] = ()
    masked: Annotated[tuple[Name, ...], Field(max_length=LIST_ITEMS)] = ()
    """Kinds of personal data that a mark in `text` stands for, such as ``email``: [e-mail]."""
    source: TextSource | None = None
    """Where an original text was found, if that is a copy of the image on another page. Absent for
    the pair's own text and for captions that a captioner wrote."""
