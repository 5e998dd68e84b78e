"""Entries for tests of the engine's parts, made without a broker."""

from dataclasses import dataclass, field

from kaption.connections.kafka.messages import Partition
from kaption.schemas import ImageSource, Position, RawPair
from kaption.schemas.topics import RAW
from kaption.schemas.wire import encode
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.stage import Incoming
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
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


def entry(offset: int, text: str = "text", partition: int = 0, size: int = 0) -> Entry:
    """A decoded and prepared entry."""
    record = RawPair(pair_id=f"p{offset}", text=text, image=ImageSource(url="http://x/1.jpg"))
    raw = Consumed(RAW.name, partition, offset, encode(record))
    position = Position(RAW.name, partition, offset)
    made = Entry(raw, Partition(RAW.name, partition), 1, len(raw.value or b""), ready=True)
    made.message, made.prepared, made.size = Incoming(record, position, position), text, size
    return made
