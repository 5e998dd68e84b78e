"""Every tunable of the engine as frozen data, with its unit and its reason."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class RuntimePolicy(BaseModel):
    """How a worker runs its stage; unknown names are refused, so that a typo is not silent."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    prepare_threads: Count = 8
    """Records prepared at once; ingest waits for the network in them."""
    prepare_chunk_s: Seconds = 0.005
    """Quick records are prepared several to a task, until a task takes about this long: handing
    one over costs tens of microseconds."""
    prefetch_records: Count | None = None
    """Records held beyond the batch that fills; none: two batches and one per thread."""
    prefetch_bytes: Count = 256 * 1024 * 1024
    """Bytes of original messages held; they are kept until their outcome is committed."""
    compute_queue: Count = 2
    """Full batches waiting for the compute thread or in it."""

    attempts: Count = 3
    """Tries of a record that fails alone before it is dead."""
    broken_stage_records: Count = 4
    """A batch of at least this many that all fail unexpectedly: it is the stage that is broken."""
    retry_initial_s: Seconds = 0.2
    retry_max_s: Seconds = 10.0
    """Longest wait between two tries while something outside is down (before jitter)."""

    dead_letter_rate: Annotated[float, Field(gt=0, le=1)] | None = 0.5
    """Share of dead records over the window past which the worker stops; none: never."""
    dead_letter_window_s: Seconds = 300.0
    dead_letter_minimum: Count = 50
    """Dead records in the window below which the rate says nothing."""

    transaction_records: Count = 1024
    """Finished batches share a transaction up to this many records: a commit costs the same."""
    transaction_bytes: Count = 32 * 1024 * 1024
    transaction_deadline_s: Seconds = 15.0
    """From begin to end; then its outcome is unknown and the session is rebuilt."""
    transaction_timeout_s: Seconds = 20.0
    """After which the broker aborts for a dead worker; until then its readers wait."""
    rebuild_attempt_s: Seconds = 20.0
    rebuild_limit_s: Seconds = 300.0
    """Without a working session for this long the worker exits and its supervisor restarts it."""

    session_timeout_s: Seconds = 20.0
    """A silent member leaves the group after this. Tansu answers a join only after half of it."""
    max_poll_interval_s: Seconds = 120.0
    request_timeout_s: Seconds = 15.0
    poll_s: Seconds = 0.2
    """Longest wait for records while there is nothing else to do."""
    stuck_s: Seconds = 60.0
    """The poll thread is dead if it has not come round for this long."""
    idle_commit_s: Seconds = 1.0
    """How often the position is committed where nothing is in work: transaction markers count as
    lag until then."""
    grace_s: Seconds = 30.0
    """For the batch in compute when the worker is asked to stop."""
