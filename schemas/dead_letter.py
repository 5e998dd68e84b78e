"""Dead letters: messages that no stage could process, kept byte for byte."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from kaption.schemas.image import Base64, base64_schema
from kaption.schemas.limits import DETAIL_CHARS, STAGE_MESSAGE_BYTES, Name
from kaption.schemas.record import Position, Record, Versioned

Original = Annotated[
    Base64, Field(max_length=STAGE_MESSAGE_BYTES), base64_schema(STAGE_MESSAGE_BYTES)
]


class OriginalHeader(Record):
    """One Kafka header of the original message."""

    key: str
    value: Original | None


class DeadLetter(Versioned):
    """A message that a stage could not process: its bytes, its place in Kafka and the error."""

    topic: Name
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    topic_id: Name | None = None
    """The topic's id in Kafka; None where it is not known."""
    timestamp_ms: int
    """Of the original message, in milliseconds since 1970-01-01 UTC."""
    key: Original | None
    value: Original | None
    headers: tuple[OriginalHeader, ...] = ()
    stage: Name
    """The stage that gave up."""
    error: Annotated[str, Field(max_length=DETAIL_CHARS)]
    attempts: Annotated[int, Field(ge=1)]
    """How often the stage tried."""
    died_at: AwareDatetime
    """When the stage gave up."""

    @property
    def position(self) -> Position:
        """The place in Kafka of the original message."""
        return Position(self.topic, self.partition, self.offset, self.topic_id)
