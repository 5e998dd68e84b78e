"""How pairs get out: topics, shards, and what training makes of them.

The streams want torch; they are imported at first use, so that everything else does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consumers.sample import Sample
from consumers.topic_reader import Read, ReadError, Tombstone, TopicReader

if TYPE_CHECKING:
    from consumers.shard_stream import ShardStream
    from consumers.topic_stream import TopicStream

__all__ = [
    "Read",
    "ReadError",
    "Sample",
    "ShardStream",
    "Tombstone",
    "TopicReader",
    "TopicStream",
]

_LAZY = {"ShardStream": "consumers.shard_stream", "TopicStream": "consumers.topic_stream"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
