"""How a pair came to be what it is, enough to repeat or to audit it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from kaption.schemas.limits import Detail, Name
from kaption.schemas.record import Record


class StageTrace(Record):
    """One stage's part in a pair."""

    stage: Name
    software: Name
    """Distribution and version, for example ``kaption/0.1.0``."""
    config_hash: Name
    """First 16 hex digits of the sha256 over the stage's policy as canonical JSON."""
    finished_at: AwareDatetime
    seconds: Annotated[float, Field(ge=0)]
    """Preparation plus this record's share of its batch."""
    models: Annotated[dict[Name, Name], Field(max_length=16)] = Field(default_factory=dict)
    """Model name to revision."""
    preprocessing_id: Name | None = None
    """Identifies resize, padding and normalisation of what the model saw."""


class Provenance(Record):
    """The stages a pair went through, first to last."""

    stages: Annotated[tuple[StageTrace, ...], Field(max_length=32)] = ()

    def then(self, trace: StageTrace) -> Provenance:
        """This provenance with one more stage at its end."""
        return Provenance(stages=(*self.stages, trace))


class DedupInfo(Record):
    """What deduplication saw of a pair that was kept."""

    owner: Name
    """Origin (topic/partition/offset) that holds the claims on this image."""
    text_uses: Annotated[int, Field(ge=1)] | None = None
    """How many pairs used this alt text so far, counted up to the configured limit."""
    semantic_neighbour: Name | None = None
    """pair_id of the nearest earlier image, when it lies within the configured distance."""
    semantic_similarity: float | None = None


class AuditState(StrEnum):
    """Whether people have looked at a pair."""

    NONE = "none"
    SAMPLED = "sampled"
    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    REFUSED = "refused"


class Audit(Record):
    """Audit state of a pair, with who decided and why."""

    state: AuditState = AuditState.NONE
    by: Name | None = None
    at: AwareDatetime | None = None
    note: Detail = ""
