"""Entries for tests of the engine's parts, made without a broker."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kaption.connections.kafka.messages import Partition
from kaption.schemas import Versioned
from kaption.schemas.topics import RAW
from kaption.schemas.wire import encode
from kaption.testing.records import incoming, raw_pair
from kaption.workers.runtime.backoff import Backoff
from kaption.workers.runtime.bisection import Bisection
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.stage import Stage
from kaption.workers.runtime.stop import StopRequest
from support.engine import POLICY, Toy

__all__ = ["Consumed", "Toy", "entry"]


@dataclass
class Consumed:
    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = b"key"
    timestamp: int = 1
    headers: Sequence[tuple[str, bytes | None]] = ()


def bisection(stage: Stage[Any, Any], stopping: bool = False) -> Bisection:
    """What puts batches through the stage, with short waits."""
    policy = POLICY.model_copy(update={"retry_initial_s": 0.001, "retry_max_s": 0.002})
    stop = StopRequest(time.monotonic)
    if stopping:
        stop.ask()
    return Bisection(stage, policy, Backoff(policy, random.Random(1), stop, lambda error: None))


def prepared_entry(stage: Stage[Any, Any], offset: int, record: Versioned) -> Entry:
    """An entry of any stage, prepared by it."""
    raw = Consumed(stage.inputs[0].name, 0, offset, encode(record))
    made = Entry(raw, Partition(raw.topic, 0), 1, 0, ready=True)
    made.message = incoming(record, offset)
    made.prepared = stage.prepare(made.message)
    return made


def entry(offset: int, text: str = "text", partition: int = 0, size: int = 0) -> Entry:
    """A decoded and prepared entry."""
    record = raw_pair(offset, pair_id=f"p{offset}", text=text)
    raw = Consumed(RAW.name, partition, offset, encode(record))
    made = Entry(raw, Partition(RAW.name, partition), 1, len(raw.value or b""), ready=True)
    made.message, made.prepared, made.size = incoming(record, offset, partition), text, size
    return made
