"""Makes a stage's entry in the provenance of a pair."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version

from kaption.schemas import CaptionerUse, StageTrace
from kaption.workers.policy import Policy


class Tracer:
    """Makes the traces of one stage."""

    def __init__(self, stage: str, now: Callable[[], datetime], *policies: Policy) -> None:
        """`policies` are all that the stage's results depend on. `now` returns aware UTC times."""
        self._stage = stage
        dumps = [policy.model_dump(mode="json") for policy in policies]
        canonical = json.dumps(dumps, sort_keys=True, separators=(",", ":"))
        self._config_hash = hashlib.sha256(canonical.encode()).hexdigest()[:16]
        self._software = f"kaption/{version('kaption')}"
        self._now = now

    def trace(
        self,
        seconds: float,
        models: Mapping[str, str] | None = None,
        preprocessing_id: str | None = None,
        *,
        text_steps_id: str | None = None,
        uses: Sequence[CaptionerUse] = (),
    ) -> StageTrace:
        """The trace of one record.

        `seconds` is its preparation plus its share of the batch. `models` maps names to revisions.
        """
        return StageTrace(
            stage=self._stage,
            software=self._software,
            config_hash=self._config_hash,
            finished_at=self._now(),
            seconds=max(0.0, seconds),
            models=dict(models or {}),
            preprocessing_id=preprocessing_id,
            text_steps_id=text_steps_id,
            tokens=sum(use.input_tokens + use.output_tokens for use in uses),
            cost=sum(use.cost for use in uses),
            captioners=tuple(uses),
        )
