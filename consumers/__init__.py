"""How pairs get out: from topics, from shards, and as batches for training.

The streams need torch. They are imported at first use, so that everything else works without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kaption.consumers.options import ShardOptions, TopicOptions
from kaption.consumers.stream import Sample
from kaption.consumers.topic.reader import Read, ReadError, Tombstone, TopicReader

if TYPE_CHECKING:
    from kaption.consumers.shards.stream import ShardStream
    from kaption.consumers.topic.stream import TopicStream
    from kaption.consumers.training.batches import TrainingBatches

__all__ = [
    "Read",
    "ReadError",
    "Sample",
    "ShardOptions",
    "ShardStream",
    "Tombstone",
    "TopicOptions",
    "TopicReader",
    "TopicStream",
    "TrainingBatches",
]

_LAZY = {
    "ShardStream": "kaption.consumers.shards.stream",
    "TopicStream": "kaption.consumers.topic.stream",
    "TrainingBatches": "kaption.consumers.training.batches",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
