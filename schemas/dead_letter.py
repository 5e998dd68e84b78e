"""Messages that could not be processed at all, kept byte for byte."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from kaption.schemas.image import Base64, base64_schema
from kaption.schemas.limits import DETAIL_CHARS, STAGE_MESSAGE_BYTES, Name
from kaption.schemas.record import Record, Versioned

Original = Annotated[
    Base64, Field(max_length=STAGE_MESSAGE_BYTES), base64_schema(STAGE_MESSAGE_BYTES)
]


class OriginalHeader(Record):
    """One Kafka header of the original message."""

    key: str
    value: Original | None


class DeadLetter(Versioned):
    """A message as it was, where it was, and why no outcome could be reached."""

    topic: Name
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    timestamp_ms: int
    key: Original | None
    value: Original | None
    headers: tuple[OriginalHeader, ...] = ()
    stage: Name
    error: Annotated[str, Field(max_length=DETAIL_CHARS)]
    attempts: Annotated[int, Field(ge=1)]
    died_at: AwareDatetime
