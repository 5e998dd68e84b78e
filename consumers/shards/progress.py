"""How far a reader of shards is: all that is needed to read exactly the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from kaption.consumers.shards.index import Shard
from kaption.consumers.shards.shuffle import Place
from kaption.consumers.stream import Share

_KIND = "shards/2"


@dataclass(slots=True)
class ShardProgress:
    """One share's way through one epoch; places and offsets, never data."""

    epoch: int
    share: Share | None = None
    plan: list[Shard] | None = None
    """The shards of this round, in the order they are read; none before it is planned."""
    since: dict[int, int] = field(default_factory=dict)
    """By partition, where this round begins,"""
    until: dict[int, int] = field(default_factory=dict)
    """and where it ends."""
    generations: dict[int, int] = field(default_factory=dict)
    """By partition, the generation that the round was planned with."""
    shard: int = 0
    """The shard of the plan that is read,"""
    offset: int = 0
    """and the first offset of it that is neither given nor in the buffer."""
    drawn: int = 0
    buffer: list[Place] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    damaged: dict[str, str] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """Plain values, fit for JSON and torch.save; shares nothing that changes later."""
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
        """From `state`. Raises ValueError where it is not of a shard stream."""
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
