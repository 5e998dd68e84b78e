"""Pairs that were judged and refused."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime

from kaption.schemas.limits import RECORD_DEPTH, Detail, Name
from kaption.schemas.plain_json import plain
from kaption.schemas.record import Versioned


class Reason(StrEnum):
    """The closed list of reasons; each is a counter. Adding one is a change of the contract."""

    OPTED_OUT = "opted_out"
    # getting the image
    FETCH_TIMEOUT = "fetch_timeout"
    FETCH_STATUS = "fetch_status"
    FETCH_DENIED = "fetch_denied"
    FETCH_FAILED = "fetch_failed"
    BLOB_MISSING = "blob_missing"
    TOO_LARGE = "too_large"
    # decoding it
    NOT_AN_IMAGE = "not_an_image"
    FORMAT_REFUSED = "format_refused"
    TRUNCATED = "truncated"
    TOO_MANY_PIXELS = "too_many_pixels"
    DECODE_TIMEOUT = "decode_timeout"
    DECODE_FAILED = "decode_failed"
    # what it looks like
    TOO_SMALL = "too_small"
    EXTREME_RATIO = "extreme_ratio"
    SINGLE_COLOUR = "single_colour"
    # whether we have it
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    SEMANTIC_DUPLICATE = "semantic_duplicate"
    TAKEN_DOWN = "taken_down"
    # its text
    LANGUAGE_REFUSED = "language_refused"
    NO_CAPTION = "no_caption"
    LOW_ALIGNMENT = "low_alignment"
    CHECKS_FAILED = "checks_failed"


class RejectedPair(Versioned):
    """A judged record with its one reason; the record itself stays replayable."""

    pair_id: Name
    stage: Name
    reason: Reason
    detail: Detail = ""
    rejected_at: AwareDatetime
    record_schema: Name
    record: Annotated[dict[str, Any], AfterValidator(plain(RECORD_DEPTH))]
    """The stage's input record as JSON."""
