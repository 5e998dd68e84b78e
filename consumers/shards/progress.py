"""How far a reader of shards has come: what it needs to read exactly the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from kaption.consumers.progress import PAIRS, StreamProgress
from kaption.consumers.shards.index import Shard
from kaption.consumers.shards.shuffle import Place


@dataclass(slots=True, kw_only=True)
class ShardProgress(StreamProgress):
    """How far one reader has come in one epoch."""

    kind: ClassVar[str] = "shards/2"
    stream: ClassVar[str] = "ShardStream"
    epoch: int
    plan: list[Shard] | None = None
    """The shards of this round in the order in which they are read; None before it is planned."""
    since: Annotated[dict[int, int], PAIRS] = field(default_factory=dict)
    """The offset at which this round begins, by partition."""
    until: Annotated[dict[int, int], PAIRS] = field(default_factory=dict)
    """The offset at which this round ends, by partition."""
    generations: Annotated[dict[int, int], PAIRS] = field(default_factory=dict)
    """The generation of the chain that the round was planned with, by partition."""
    pin: str | None = None
    """The name of the pin that is read; None: the dataset as it was when the epoch began."""
    topic_ids: Annotated[dict[int, str], PAIRS] = field(default_factory=dict)
    """The id of the topic that the offsets are of, by partition, where the manifests name it."""
    shard: int = 0
    """The number in `plan` of the shard that is being read."""
    offset: int = 0
    """The first offset of that shard that is neither given nor in the buffer."""
    drawn: int = 0
    """How many samples were drawn from the buffer."""
    buffer: list[Place] = field(default_factory=list)
    """Where the samples in the buffer come from, in their order."""
    skipped: Annotated[Counter[str], PAIRS] = field(default_factory=Counter)
    """Samples left out, by reason."""
    damaged: Annotated[dict[str, str], PAIRS] = field(default_factory=dict)
    """What is wrong with the objects that could not be used, by key."""
