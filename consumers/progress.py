"""How far a stream has come, as a state that JSON and torch.save can keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from pydantic import BeforeValidator, TypeAdapter

from kaption.consumers.share import Share

PAIRS = BeforeValidator(dict)
"""For a mapping, which a state holds as a list of pairs: JSON knows no keys but strings."""


@dataclass(slots=True, kw_only=True)
class StreamProgress:
    """What a reader needs to read exactly the rest: places and offsets, no data."""

    kind: ClassVar[str]
    """Names the kind of stream and the version of its state."""
    stream: ClassVar[str]
    """The stream's class, for the error message."""
    share: Share | None = None
    """The reader; None before its iteration begins."""

    def state(self) -> dict[str, Any]:
        """Return plain values for JSON and torch.save; none of them changes later."""
        return {"kind": self.kind} | {
            each.name: _plain(getattr(self, each.name)) for each in fields(self)
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> Self:
        """Return the progress of a state. Raises ValueError for the state of another stream."""
        if not isinstance(state, Mapping) or state.get("kind") != cls.kind:
            raise ValueError(f"not the state of a {cls.stream} ({cls.kind}): {str(state)[:200]}")
        return TypeAdapter(cls).validate_python(state)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        value = value.items()
    elif not isinstance(value, (list, tuple)):
        return value
    return [_plain(each) for each in value]
