"""Messages that the broker will never take, kept beside the spool they came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from kaption.connections.kafka.messages import Message
from kaption.producers.packing import pack, unpack
from kaption.producers.segment import Segment, frames, whole_bytes


def refused_file(folder: Path) -> Path:
    """Where they are, in a spool's folder."""
    return folder / "refused"


def refuse(folder: Path, messages: Iterable[Message]) -> None:
    """Add messages; they are on the disk when this returns. Raises OSError, SpoolError."""
    path = refused_file(folder)
    segment = Segment(path, whole_bytes(path) if path.exists() else None)
    try:
        segment.append(b"".join(pack(message) for message in messages))
    finally:
        segment.close()


def refused(folder: Path) -> Iterator[Message]:
    """What was set aside in a spool's folder, to look at or to publish in another form."""
    path = refused_file(folder)
    if path.exists():
        for payload, _ in frames(path, 0, whole_bytes(path)):
            yield from unpack(payload)
