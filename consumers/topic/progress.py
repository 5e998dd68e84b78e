"""How far a reader of the topic has come: what it needs to read exactly the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from kaption.consumers.share import Share

_KIND = "topic/1"


@dataclass(slots=True)
class TopicProgress:
    """The next offset of each partition, and the offsets at which reading ends."""

    share: Share | None = None
    """The reader; None before its iteration begins."""
    offsets: dict[int, int] = field(default_factory=dict)
    """The next offset to give, by partition."""
    ends: dict[int, int] | None = None
    """The end by partition. None before it is taken, and in a stream with `follow`."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Messages left out, by reason."""

    def state(self) -> dict[str, Any]:
        """Return plain values for JSON and torch.save; none of them changes later."""
        return {
            "kind": _KIND,
            "share": None if self.share is None else list(self.share),
            "offsets": [list(each) for each in self.offsets.items()],
            "ends": None if self.ends is None else [list(each) for each in self.ends.items()],
            "skipped": [list(each) for each in self.skipped.items()],
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> TopicProgress:
        """Return the progress of a state. Raises ValueError for the state of another stream."""
        if state.get("kind") != _KIND:
            raise ValueError(f"not the state of a TopicStream ({_KIND}): {str(state)[:200]}")
        share, ends = state["share"], state["ends"]
        return cls(
            share=None if share is None else Share(*share),
            offsets=dict(state["offsets"]),
            ends=None if ends is None else dict(ends),
            skipped=Counter(dict(state["skipped"])),
        )
