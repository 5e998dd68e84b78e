"""The interface between the engine and the work of a stage.

The engine calls these methods, in this order and on these threads:

===========  ===================  ============================================================
`setup`      main thread          once, before anything is consumed
`resume`     a thread of its own  each time a partition is assigned; it stays paused meanwhile
`lane`       preparation pool     once per record, before `prepare`
`prepare`    preparation pool     once per record and again after Retry and Later; many at a time,
                                  in any order
`process`    compute thread       one batch at a time, in offset order per partition unless
                                  `Batching.any_order`; again with the batch or parts of it after
                                  Retry, OutOfMemory or an error
`probe`      compute thread       after a batch in which a record failed
`ready`      health thread        on each readiness probe
`close`      main thread          once, after the last `process`; a `prepare` that waits for a
                                  server may still run, and its result is dropped
===========  ===================  ============================================================

A record may be prepared and processed more than once: after a crash, after a rebalance, or when
its batch is bisected. What a stage does outside Kafka must therefore be idempotent for the same
`Incoming.origin`.

A stage must not sleep until a server comes back: it raises Retry, and the engine waits. The
engine's wait keeps the worker in its consumer group, and a stop ends it at once.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from kaption.connections.errors import Fault
from kaption.schemas import Position, Reason, Versioned
from kaption.schemas.topics import Topic

R = TypeVar("R", bound=Versioned)
P = TypeVar("P")


class Reject(Fault):
    """Outcome: the record is refused for one counted reason.

    The engine sends it to pairs.rejected, as a RejectedPair.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class Dead(Fault):
    """Outcome: the record cannot be processed, now or later.

    The engine sends its original bytes to pairs.dead, as a DeadLetter.
    """


class Later(Fault):
    """`prepare` cannot go on with this record now: a server asked for a pause.

    The record waits `after_s` seconds without a thread, then it is prepared again, in `lane` if one
    is given. Other than after Retry, all others go on: it is not one of our own servers that is
    away.
    """

    def __init__(self, why: str, after_s: float, lane: str | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s
        self.lane = lane


_abroad: dict[int, float] = {}


@contextmanager
def abroad() -> Iterator[None]:
    """Around a call to a foreign server in `prepare`.

    When it takes longer than a second, the engine prepares another record meanwhile.
    """
    me = threading.get_ident()
    _abroad[me] = time.monotonic()
    try:
        yield
    finally:
        del _abroad[me]


def nobody_abroad() -> bool:
    """Whether no thread is in a call `abroad`."""
    return not _abroad


def seconds_abroad(thread: int) -> float:
    """How long the thread with this identifier has been in its present call `abroad`."""
    now = time.monotonic()
    return now - _abroad.get(thread, now)


class OutOfMemory(Fault):
    """The batch is too large for the device. The engine halves it and remembers the size."""


@dataclass(frozen=True, slots=True)
class Incoming(Generic[R]):
    """One input record, and where it is and came from."""

    record: R
    origin: Position
    """Its position in pairs.raw when it first entered. Dedup claims are stored under it."""
    position: Position
    """Its position in the stage's input topic."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Outcome: the record goes on. Each output is a topic and the record to send to it.

    The engine adds keys and headers. Without outputs the record is done with, as at the sink.
    """

    outputs: tuple[tuple[Topic, Versioned], ...]


Outcome = Emit | Reject | Dead
"""Each record gets exactly one in each stage: `process` returns it, or `prepare` raises it."""


@dataclass(frozen=True, slots=True)
class Batching:
    """A batch is full when it reaches the first of these limits."""

    max_records: int
    max_wait_s: float
    max_bytes: int | None = None
    """Limit for the sum of `Stage.size_of`."""
    per_partition: bool = False
    """Each batch holds one partition. Only that partition waits while the batch is processed."""
    any_order: bool = False
    """Records that are prepared late do not hold up those behind them in their partition: these are
    processed before. Commits stay in the order of the offsets."""


class Stage(ABC, Generic[R, P]):
    """One step of the pipeline. `R` is the input record, `P` is what `prepare` makes of it."""

    name: ClassVar[str]
    """Also the consumer group, metric label and command-line name."""
    inputs: ClassVar[tuple[Topic, ...]]
    """Topics to read. All hold records of type `R`."""
    outputs: ClassVar[tuple[Topic, ...]]
    """Topics that `Emit` may name. The engine itself writes pairs.rejected and pairs.dead."""

    @property
    @abstractmethod
    def batching(self) -> Batching:
        """The limits of a batch. The engine reads them once, after `setup`."""

    def setup(self) -> None:
        """Load models and reach stores. Raises Fatal, which says what to do."""

    def lane(self, message: Incoming[R]) -> str | None:
        """What the preparation of this record may have to wait for, such as a foreign server.

        When `lane_width` records of one lane are being prepared, the others wait without a thread,
        so that records of other lanes go on. None: it waits for nothing.
        """
        return None

    @property
    def lane_width(self) -> int:
        """Most records of one lane that are prepared at once."""
        return 1

    @abstractmethod
    def prepare(self, message: Incoming[R]) -> P:
        """Make one record ready for a batch.

        Raises Reject or Dead, which are the record's outcome: `process` does not see it. Raises
        Retry if a server is down, Later if the record alone must wait, and Fatal to stop the
        worker. After any other error the engine tries again a few times, then the record is Dead.
        """

    @abstractmethod
    def process(self, batch: Sequence[tuple[Incoming[R], P]]) -> Sequence[Outcome]:
        """Return one outcome per item, in order.

        Raises Retry to get the whole batch again later, OutOfMemory to get halves of it, and Fatal
        to stop the worker. After any other error the engine halves the batch until the failing
        record is alone; that record is Dead.
        """

    def probe(self) -> None:
        """Process a small record of the stage's own that is known to be good; store nothing.

        Raises any error if the stage is broken: then the worker stops. Raises Retry if a server is
        down. If it returns, the records that failed are bad, however many they are. Without a probe
        a batch of which every record failed stops the worker, from four records on.
        """

    def size_of(self, message: Incoming[R], prepared: P) -> int:
        """Bytes that this item adds to a batch. Only called if `Batching.max_bytes` is set."""
        return 0

    def resume(
        self, topic: str, partition: int, committed: int, topic_id: str | None = None
    ) -> int:
        """The offset from which a newly assigned partition is read.

        `committed` is the group's committed offset, or the start of the log if there is none.
        `topic_id` tells this topic from an earlier one of its name; None where it is not known.
        Override it if what is done is known outside Kafka: the sink follows its chain of manifests.
        Raises Retry and Fatal.
        """
        return committed

    def ready(self) -> str | None:
        """What the stage cannot reach; None if it can work."""
        return None

    def close(self) -> None:
        """Release what `setup` took."""
