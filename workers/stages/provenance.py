"""Makes a stage's entry in the provenance of a pair."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import version

from kaption.schemas import StageTrace
from kaption.workers.policy import Policy


class Tracer:
    """Makes the traces of one stage."""

    def __init__(self, stage: str, now: Callable[[], datetime], *policies: Policy) -> None:
        """`policies` are all that the stage's results depend on. `now` returns aware UTC times."""
        self._stage = stage
        self._config_hash = _config_hash(policies)
        self._software = f"kaption/{version('kaption')}"
        self._now = now

    def trace(
        self,
        seconds: float,
        models: Mapping[str, str] | None = None,
        preprocessing_id: str | None = None,
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
        )


def _config_hash(policies: tuple[Policy, ...]) -> str:
    """First 16 hex digits of the sha256 over canonical JSON."""
    dumps = [policy.model_dump(mode="json") for policy in policies]
    text = json.dumps(dumps, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
