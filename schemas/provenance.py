"""Provenance: which software, settings and models made a pair, and who audited it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from kaption.schemas.limits import Detail, Name
from kaption.schemas.record import Record


class StageTrace(Record):
    """What one stage did to a pair, and with what."""

    stage: Name
    software: Name
    """Distribution and version, for example ``kaption/0.1.0``."""
    config_hash: Name
    """First 16 hex digits of the sha256 over the stage's policy as canonical JSON."""
    finished_at: AwareDatetime
    seconds: Annotated[float, Field(ge=0)]
    """Seconds spent on this record: its preparation, plus its share of its batch."""
    models: Annotated[dict[Name, Name], Field(max_length=16)] = Field(default_factory=dict)
    """Revision of each model, by the model's name."""
    preprocessing_id: Name | None = None
    """Names the resizing, padding and normalisation of the images that the model saw."""


class Provenance(Record):
    """The stages that a pair went through, first to last."""

    stages: Annotated[tuple[StageTrace, ...], Field(max_length=32)] = ()

    def then(self, trace: StageTrace) -> Provenance:
        """A copy with one more stage at its end."""
        return Provenance(stages=(*self.stages, trace))


class DedupInfo(Record):
    """What deduplication found about a pair that was kept."""

    owner: Name
    """Origin (topic/partition/offset) that holds the claims on this image."""
    text_uses: Annotated[int, Field(ge=1)] | None = None
    """Number of pairs with this alt text so far, this one included. Counting stops one above the
    configured limit."""
    semantic_neighbour: Name | None = None
    """pair_id of the nearest earlier image, if it lies within the configured distance."""
    semantic_similarity: float | None = None
    """Cosine of the embeddings of this image and of `semantic_neighbour`."""


class AuditState(StrEnum):
    """Whether a person has judged a pair."""

    NONE = "none"
    """Not part of the audit sample."""
    SAMPLED = "sampled"
    """Waits for a person's judgement."""
    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    REFUSED = "refused"


class Audit(Record):
    """The audit state of a pair: the judgement, the person, the time and the reason."""

    state: AuditState = AuditState.NONE
    by: Name | None = None
    """The person who judged."""
    at: AwareDatetime | None = None
    """When the person judged."""
    note: Detail = ""
    """The person's reason."""
