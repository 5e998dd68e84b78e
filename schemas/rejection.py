"""Rejected pairs and the reasons for a rejection."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime

from kaption.schemas.limits import RECORD_DEPTH, Detail, Name
from kaption.schemas.plain_json import plain
from kaption.schemas.record import Versioned


class Reason(StrEnum):
    """Why a pair was rejected.

    Each reason has a counter in the metrics. The list is closed: a new reason changes the contract.
    """

    OPTED_OUT = "opted_out"
    LICENCE_REFUSED = "licence_refused"
    # fetching the image
    FETCH_TIMEOUT = "fetch_timeout"
    FETCH_STATUS = "fetch_status"
    FETCH_DENIED = "fetch_denied"
    FETCH_FAILED = "fetch_failed"
    BLOB_MISSING = "blob_missing"
    TOO_LARGE = "too_large"
    # decoding the image
    NOT_AN_IMAGE = "not_an_image"
    FORMAT_REFUSED = "format_refused"
    TRUNCATED = "truncated"
    TOO_MANY_PIXELS = "too_many_pixels"
    DECODE_TIMEOUT = "decode_timeout"
    DECODE_FAILED = "decode_failed"
    # the look of the image
    TOO_SMALL = "too_small"
    EXTREME_RATIO = "extreme_ratio"
    SINGLE_COLOUR = "single_colour"
    # duplicates and takedowns
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    SEMANTIC_DUPLICATE = "semantic_duplicate"
    TAKEN_DOWN = "taken_down"
    FACES = "faces"
    NSFW = "nsfw"
    IDENTITY_DOCUMENT = "identity_document"
    CV = "cv"
    BLOCK_LISTED = "block_listed"
    # the text
    PERSONAL_DATA = "personal_data"
    LANGUAGE_REFUSED = "language_refused"
    NO_CAPTION = "no_caption"
    LOW_ALIGNMENT = "low_alignment"
    CHECKS_FAILED = "checks_failed"


class RejectedPair(Versioned):
    """A pair that a stage rejected, with exactly one reason.

    It holds the stage's input record, so that the pair can be replayed.
    """

    pair_id: Name
    stage: Name
    """The stage that rejected the pair."""
    reason: Reason
    detail: Detail = ""
    """The values that led to the rejection, for people."""
    rejected_at: AwareDatetime
    record_schema: Name
    """Name and version of `record`, for example ``RawPair/1``."""
    record: Annotated[dict[str, Any], AfterValidator(plain(RECORD_DEPTH))]
    """The stage's input record as JSON."""
