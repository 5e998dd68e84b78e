"""A stream that can go on where it was, as torchdata asks for it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Stateful(Protocol):
    """A stream that can go on where it was."""

    def state_dict(self) -> dict[str, Any]:
        """What is left after the last sample that it gave."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next iteration gives what was left."""
