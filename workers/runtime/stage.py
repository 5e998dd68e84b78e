"""What a stage is: the one interface between the engine and the work.

The engine calls, in this order and on these threads:

===========  ==================  =============================================================
`setup`      main thread         once, before anything is consumed: load models, reach stores
`resume`     a thread of its own each time a partition is assigned, which is paused meanwhile
`prepare`    preparation pool    once per record (again after Retry), many at a time, any order
`process`    compute thread      one batch at a time, in offset order per partition; called again
                                 with parts of it after Retry, OutOfMemory or an error
`ready`      health thread       on each readiness probe
`close`      main thread         once, after the last `process`
===========  ==================  =============================================================

A record may be prepared and processed more than once (a crash, a rebalance, a bisected batch), so
whatever a stage does outside Kafka must be idempotent for the same `Incoming.origin`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from kaption.connections.errors import Fatal, Fault, Retry
from kaption.schemas import Position, Reason, Versioned
from kaption.schemas.topics import Topic

__all__ = [
    "Batching",
    "Dead",
    "Emit",
    "Fatal",
    "Incoming",
    "OutOfMemory",
    "Outcome",
    "Reject",
    "Retry",
    "Stage",
]

R = TypeVar("R", bound=Versioned)
P = TypeVar("P")


class Reject(Fault):
    """The record was judged and refused, for one counted reason.

    An outcome: the engine wraps the record into a RejectedPair.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class Dead(Fault):
    """The record cannot be processed, now or later.

    An outcome: the engine wraps the original bytes into a DeadLetter.
    """


class OutOfMemory(Fault):
    """The batch was too large for the device: the engine halves it and remembers the size."""


@dataclass(frozen=True, slots=True)
class Incoming(Generic[R]):
    """One input record and where it stands."""

    record: R
    origin: Position
    """Where it first entered pairs.raw: the owner of its dedup claims."""
    position: Position
    """Where it is now."""


@dataclass(frozen=True, slots=True)
class Emit:
    """The record goes on: each output is a topic and the record for it.

    The engine adds key, headers and transaction. No outputs means: done, nothing further in Kafka.
    """

    outputs: tuple[tuple[Topic, Versioned], ...]


Outcome = Emit | Reject | Dead
"""Exactly one per input record and stage. `prepare` raises the last two, `process` returns them."""


@dataclass(frozen=True, slots=True)
class Batching:
    """When a batch is full: the first limit that is reached."""

    max_records: int
    max_wait_s: float
    max_bytes: int | None = None
    """Sum of `Stage.size_of`."""
    per_partition: bool = False
    """Each batch holds one partition only, and only that partition waits while it is processed."""


class Stage(ABC, Generic[R, P]):
    """One step of the pipeline. `R` is its input record, `P` what `prepare` makes of it."""

    name: ClassVar[str]
    """Also the consumer group, metric label and command-line name."""
    inputs: ClassVar[tuple[Topic, ...]]
    """All hold records of type `R`."""
    outputs: ClassVar[tuple[Topic, ...]]
    """Topics that `Emit` may name (pairs.rejected and pairs.dead are the engine's)."""

    @property
    @abstractmethod
    def batching(self) -> Batching:
        """Read once, after `setup`."""

    def setup(self) -> None:
        """Load models and reach stores. Raises Fatal with what to do about it."""

    @abstractmethod
    def prepare(self, message: Incoming[R]) -> P:
        """Make one record ready for a batch.

        Raises Reject or Dead (the record's outcome, without `process`), Retry or Fatal. Any other
        error is tried again a few times and then ends the record as Dead.
        """

    @abstractmethod
    def process(self, batch: Sequence[tuple[Incoming[R], P]]) -> Sequence[Outcome]:
        """One outcome per item, in order.

        Raises Retry (whole batch again), OutOfMemory (halves), Fatal (stop). Any other error makes
        the engine bisect the batch until the culprit is alone.
        """

    def size_of(self, message: Incoming[R], prepared: P) -> int:
        """Bytes this item adds to a batch; only asked where `Batching.max_bytes` is set."""
        return 0

    def resume(self, topic: str, partition: int, committed: int) -> int:
        """The offset to start from, given the committed one (0 or more; log start if none).

        For stages whose truth lies outside Kafka: the sink walks its manifest chain. Raises Retry.
        """
        return committed

    def ready(self) -> str | None:
        """None when the stage's stores are reachable, else what is not."""
        return None

    def close(self) -> None:
        """Release what `setup` took."""
