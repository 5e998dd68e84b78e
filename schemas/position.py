"""The position of a message in Kafka."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEXT = re.compile(r"([A-Za-z0-9._-]{1,249})/([0-9]{1,10})/([0-9]{1,19})")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """topic/partition/offset of a message.

    A record's *origin* is its first position in pairs.raw. The origin owns the record's dedup
    claims, and it stays the same when the record is replayed.
    """

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read ``topic/partition/offset``. Raises ValueError."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"not topic/partition/offset: {text[:300]!r}")
        return cls(match[1], int(match[2]), int(match[3]))
