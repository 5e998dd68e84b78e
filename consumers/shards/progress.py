"""How far a reader of shards has come: what it needs to read exactly the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from kaption.consumers.shards.index import Shard
from kaption.consumers.shards.shuffle import Place
from kaption.consumers.share import Share

_KIND = "shards/2"


@dataclass(slots=True)
class ShardProgress:
    """How far one reader has come in one epoch: places and offsets, no data."""

    epoch: int
    share: Share | None = None
    """The reader; None before its iteration begins."""
    plan: list[Shard] | None = None
    """The shards of this round in the order in which they are read; None before it is planned."""
    since: dict[int, int] = field(default_factory=dict)
    """The offset at which this round begins, by partition."""
    until: dict[int, int] = field(default_factory=dict)
    """The offset at which this round ends, by partition."""
    generations: dict[int, int] = field(default_factory=dict)
    """The generation of the chain that the round was planned with, by partition."""
    shard: int = 0
    """The number in `plan` of the shard that is being read."""
    offset: int = 0
    """The first offset of that shard that is neither given nor in the buffer."""
    drawn: int = 0
    """How many samples were drawn from the buffer."""
    buffer: list[Place] = field(default_factory=list)
    """Where the samples in the buffer come from, in their order."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Samples left out, by reason."""
    damaged: dict[str, str] = field(default_factory=dict)
    """What is wrong with the objects that could not be used, by key."""

    def state(self) -> dict[str, Any]:
        """Return plain values for JSON and torch.save; none of them changes later."""
        return {
            "kind": _KIND,
            "epoch": self.epoch,
            "share": None if self.share is None else list(self.share),
            "plan": None if self.plan is None else [list(shard) for shard in self.plan],
            "since": [list(each) for each in self.since.items()],
            "until": [list(each) for each in self.until.items()],
            "generations": [list(each) for each in self.generations.items()],
            "shard": self.shard,
            "offset": self.offset,
            "drawn": self.drawn,
            "buffer": [list(place) for place in self.buffer],
            "skipped": [list(each) for each in self.skipped.items()],
            "damaged": [list(each) for each in self.damaged.items()],
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> ShardProgress:
        """Return the progress of a state. Raises ValueError for the state of another stream."""
        if state.get("kind") != _KIND:
            raise ValueError(f"not the state of a ShardStream ({_KIND}): {str(state)[:200]}")
        share, plan = state["share"], state["plan"]
        return cls(
            epoch=state["epoch"],
            share=None if share is None else Share(*share),
            plan=None if plan is None else [Shard(*shard) for shard in plan],
            since=dict(state["since"]),
            until=dict(state["until"]),
            generations=dict(state["generations"]),
            shard=state["shard"],
            offset=state["offset"],
            drawn=state["drawn"],
            buffer=[(partition, offset) for partition, offset in state["buffer"]],
            skipped=Counter(dict(state["skipped"])),
            damaged=dict(state["damaged"]),
        )
