"""A stage of your own: splits pairs.clean into a topic for training and one for validation.

python own_stage.py                        creates the two topics
kaption work own_stage:SplitStage          splits until it is stopped
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import Field

from kaption.connections.kafka.topics import TopicAdmin
from kaption.schemas import CleanPair, Topic
from kaption.schemas.topics import CLEAN
from kaption.workers.policy import Policy
from kaption.workers.runtime.stage import Batching, Emit, Incoming, Outcome, Stage
from kaption.workers.settings import load_settings
from kaption.workers.stages.provenance import Tracer

TRAINING = Topic("pairs.training", CleanPair, "pairs to train on")
VALIDATION = Topic("pairs.validation", CleanPair, "pairs that training must not see")


class SplitSettings(Policy):
    """Settings of this stage."""

    validation: float = Field(default=0.05, ge=0, le=1)
    """Share of the images that is held out."""


class SplitStage(Stage[CleanPair, bool]):
    """All pairs of one image go to the same side, also when they come again."""

    name = "split"
    inputs = (CLEAN,)
    outputs = (TRAINING, VALIDATION)

    def __init__(self, settings: SplitSettings) -> None:
        self._settings = settings
        self._tracer = Tracer(self.name, lambda: datetime.now(UTC), settings)

    @property
    def batching(self) -> Batching:
        """Any size will do: there is no model to feed."""
        return Batching(max_records=256, max_wait_s=0.5)

    def prepare(self, message: Incoming[CleanPair]) -> bool:
        """Whether the image is held out: its hash decides, so that nothing must be remembered."""
        number = int(message.record.image.original_sha256[:8], 16)
        return number < self._settings.validation * 2**32

    def process(self, batch: Sequence[tuple[Incoming[CleanPair], bool]]) -> Sequence[Outcome]:
        """Each pair to its side."""
        return [
            Emit(((VALIDATION if held_out else TRAINING, self._traced(message.record)),))
            for message, held_out in batch
        ]

    def _traced(self, pair: CleanPair) -> CleanPair:
        provenance = pair.provenance.then(self._tracer.trace(0.0))
        return pair.model_copy(update={"provenance": provenance})


if __name__ == "__main__":
    with TopicAdmin(load_settings().kafka) as admin:
        admin.create([TRAINING, VALIDATION])
