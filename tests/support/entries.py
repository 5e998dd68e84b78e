"""Entries for tests of the engine's parts, made without a broker."""

from collections.abc import Sequence
from dataclasses import dataclass

from kaption.connections.kafka.messages import Partition
from kaption.schemas.topics import RAW
from kaption.schemas.wire import encode
from kaption.testing.records import incoming, raw_pair
from kaption.workers.runtime.entry import Entry
from support.engine import Toy

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


def entry(offset: int, text: str = "text", partition: int = 0, size: int = 0) -> Entry:
    """A decoded and prepared entry."""
    record = raw_pair(offset, pair_id=f"p{offset}", text=text)
    raw = Consumed(RAW.name, partition, offset, encode(record))
    made = Entry(raw, Partition(RAW.name, partition), 1, len(raw.value or b""), ready=True)
    made.message, made.prepared, made.size = incoming(record, offset, partition), text, size
    return made
