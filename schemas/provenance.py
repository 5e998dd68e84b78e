"""Provenance: which software, settings and models made a pair, and who audited it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from kaption.schemas.limits import Count, Detail, Name, Whole
from kaption.schemas.record import Record


class CaptionerResult(StrEnum):
    """What one captioner did for a pair."""

    ASKED = "asked"
    CACHED = "cached"
    """It wrote its captions earlier, for the same image."""
    NOT_NEEDED = "not_needed"
    """A caption of the captioners before it reached `recaption.bar`."""
    OVER_BUDGET = "over_budget"
    """`recaption.daily_budget` was used up."""


class CaptionerUse(Record):
    """What one captioner did for a pair, and what it took. Cached captions take nothing."""

    captioner: Name
    """As in `recaption.captioners`."""
    result: CaptionerResult
    model_seconds: Annotated[float, Field(ge=0)] = 0.0
    """The pair's share of the time in which the captioner worked on its batch."""
    input_tokens: Whole = 0
    """A server counts the tokens of the image, too."""
    output_tokens: Whole = 0
    cost: Annotated[float, Field(ge=0)] = 0.0
    """By the prices in the settings."""


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
    text_steps_id: Name | None = None
    """Digest of the steps and tables that cleaned the alt text."""
    tokens: Whole = 0
    """Tokens, read and written, of all captioners for this record. Cached captions cost none."""
    cost: Annotated[float, Field(ge=0)] = 0.0
    """What all captioners cost, by the prices in the settings."""
    captioners: Annotated[tuple[CaptionerUse, ...], Field(max_length=32)] = ()
    """What each captioner did, in the order of the settings. Empty in stages other than
    recaption."""
    bank_id: Name | None = None
    """Digest of the sha256 of all images that the captions were compared with. Absent where they
    were compared with none, and in stages other than select."""
    threshold: float | None = None
    """Cosine that the pair's texts had to reach in the stages score and select, and the bar of the
    captions in recaption. Absent where none was known yet, and in other stages."""


class Provenance(Record):
    """The stages that a pair went through, first to last."""

    stages: Annotated[tuple[StageTrace, ...], Field(max_length=32)] = ()

    def then(self, trace: StageTrace) -> Provenance:
        """A copy with one more stage at its end."""
        return Provenance(stages=(*self.stages, trace))


class DedupInfo(Record):
    """What deduplication found about a pair that was kept."""

    owner: Name
    """Origin (topic/partition/offset/topic-id) that holds the claims on this image."""
    text_uses: Count | None = None
    """Number of pairs with this alt text so far, this one included. Counting stops one above the
    configured limit."""
    semantic_neighbour: Name | None = None
    """pair_id of the nearest of the images kept before that show something else than one another,
    if its cosine is at least the configured one. All pairs with one neighbour show what it shows.
    """
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
