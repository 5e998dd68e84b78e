"""How far a reader of the topic has come: what it needs to read exactly the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from kaption.consumers.progress import PAIRS, StreamProgress


@dataclass(slots=True, kw_only=True)
class TopicProgress(StreamProgress):
    """The next offset of each partition, and the offsets at which reading ends."""

    kind: ClassVar[str] = "topic/1"
    stream: ClassVar[str] = "TopicStream"
    offsets: Annotated[dict[int, int], PAIRS] = field(default_factory=dict)
    """The next offset to give, by partition."""
    ends: Annotated[dict[int, int], PAIRS] | None = None
    """The end by partition. None before it is taken, and in a stream with `follow`."""
    skipped: Annotated[Counter[str], PAIRS] = field(default_factory=Counter)
    """Messages left out, by reason."""
