"""How pairs get out: topics, shards, and what training makes of them.

The streams want torch; they are imported at first use, so that everything else does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kaption.consumers.stream import Sample
from kaption.consumers.topic.reader import Read, ReadError, Tombstone, TopicReader

if TYPE_CHECKING:
    from kaption.consumers.shards.stream import ShardStream
    from kaption.consumers.topic.stream import TopicStream

__all__ = [
    "Read",
    "ReadError",
    "Sample",
    "ShardStream",
    "Tombstone",
    "TopicReader",
    "TopicStream",
]

_LAZY = {
    "ShardStream": "kaption.consumers.shards.stream",
    "TopicStream": "kaption.consumers.topic.stream",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
