"""How a worker runs its stage, as frozen data: what operators set, and what only the engine knows.

`RuntimeSettings` is the section `runtime` of the settings. `RuntimePolicy` adds the engine's own
limits. They are not settings because no deployment needs other values; tests shorten them.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class RuntimeSettings(BaseModel):
    """The engine that every stage runs in: threads, memory, transactions, stopping."""

    # Unknown names are refused: a misspelt setting must not pass silently.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    prepare_threads: Count = 8
    """Records that a worker prepares at once. In ingest each thread fetches one image: raise it
    when the processor is idle. Threads that wait for a web server for over a second do not
    count."""
    prefetch_bytes: Count = 256 * 1024 * 1024
    """Most bytes of Kafka messages that a worker holds until their outcome is committed. Raise it
    when inline images fill it while the stage waits for records; lower it for a small container."""
    dead_letter_rate: Annotated[float, Field(gt=0, le=1)] | None = 0.5
    """Share of dead letters among the records of the last 5 minutes above which a worker stops,
    because then the stage is broken and not the records. Below 50 dead letters it never stops.
    Records do not count that fail while the stage works with a good record of its own. Set 1 to
    never stop for dead letters."""
    transaction_deadline_s: Seconds = 15.0
    """Longest time from the begin of a Kafka transaction to its end. After it the worker opens a
    new connection and asks the brokers what was committed. Raise it when the alert
    KaptionTransactionsSlow fires and the brokers cannot be made faster."""
    rebuild_limit_s: Seconds = 300.0
    """Longest time without a working Kafka connection, and longest time for which the worker tries
    to read a damaged batch. After it the worker exits and its supervisor starts it again. Raise it
    when brokers are often away for longer."""
    pass_over_unreadable: bool = False
    """Whether a damaged batch of a topic goes to pairs.dead, as one dead letter with its bytes,
    and reading goes on behind it. If false, its partition waits and then the worker exits."""
    session_timeout_s: Seconds = 20.0
    """Time after which Kafka gives the partitions of a silent worker to the others. It must lie
    between the brokers' group.min.session.timeout.ms and group.max.session.timeout.ms."""
    grace_s: Seconds = 30.0
    """Time that a batch in compute has to finish when the worker is told to stop. Raise it when one
    batch takes longer, and compose's stop_grace_period with it; the chart does that by itself."""
    tracing: bool = False
    """Whether a span of each record and batch is exported by OTLP. It needs the extra `trace`. The
    variables OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER and others of OpenTelemetry say where
    and how many."""


class RuntimePolicy(RuntimeSettings):
    """The settings of section `runtime` and the engine's own limits."""

    prepare_chunk_s: Seconds = 0.005
    """Quick records are prepared several to a task, until a task takes about this long: to hand
    one task to a thread costs tens of microseconds."""
    compute_queue: Count = 2
    """Full batches waiting for the compute thread or in it."""

    attempts: Count = 3
    """Tries of a record that fails alone, before it becomes a dead letter."""
    broken_stage_records: Count = 4
    """When all records of a batch fail unexpectedly and there are at least this many, a stage
    without a probe of its own is taken for broken."""
    retry_initial_s: Seconds = 0.2
    """First wait between two tries while a server is down; it doubles, with jitter."""
    retry_max_s: Seconds = 10.0
    """Longest wait between two tries while a server is down (before jitter)."""

    dead_letter_window_s: Seconds = 300.0
    """Time over which `dead_letter_rate` is taken."""
    dead_letter_minimum: Count = 50
    """With fewer dead letters in the window the rate means nothing."""

    transaction_records: Count = 1024
    """Finished batches share a transaction up to this many records: a commit costs the same for one
    as for a thousand."""
    transaction_bytes: Count = 32 * 1024 * 1024
    """Finished batches share a transaction up to this many bytes of output."""
    transaction_margin_s: Seconds = 5.0
    """By how much the broker's time-out is later than our own deadline: the broker must not abort
    a transaction that its worker still commits."""
    rebuild_attempt_s: Seconds = 20.0
    """Time for one try to open a new session."""

    max_poll_interval_s: Seconds = 120.0
    """The client library leaves the group after this long without a poll. The poll thread never
    waits that long, see `stuck_s`."""
    request_timeout_s: Seconds = 15.0
    """Time for one request to a broker."""
    poll_s: Seconds = 0.2
    """Longest wait for records while there is nothing else to do."""
    stuck_s: Seconds = 60.0
    """/healthz reports a dead worker when the poll thread has not come round for this long."""
    idle_commit_s: Seconds = 1.0
    """How often an idle worker commits its position: until then transaction markers count as
    lag."""

    @property
    def transaction_timeout_s(self) -> float:
        """After this long the broker aborts the transaction of a worker that died.

        Readers of its output topics wait until then.
        """
        return self.transaction_deadline_s + self.transaction_margin_s

    @classmethod
    def of(cls, settings: RuntimeSettings) -> Self:
        """The settings, and the engine's own limits at their defaults."""
        return cls.model_validate(settings.model_dump())
