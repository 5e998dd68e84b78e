"""What a record's URL gave first, remembered for the record's other deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from schemas import ImageRef, Position, Reason
from schemas.limits import Name
from schemas.record import Record


class Refusal(Record):
    """The URL gave nothing that can be used, or a picture that another origin holds."""

    reason: Reason
    detail: str = ""
    delivery: Name
    """Position of the message that was refused: a replay of the record stands elsewhere, and asks
    the URL again."""


Answer = ImageRef | Refusal
"""Of a picture all that ingest needs to make the same pair again: its bytes are in the blob store
before it is remembered."""


class Answers(Protocol):
    """The first answer for each origin; the first writer wins. Raises Retry when the store is down.

    `deliveries` are where the records are now; a refusal is for its own delivery only.
    """

    def get(self, origin: Position, delivery: Position) -> Answer | None:
        """What is remembered, or None."""

    def first(
        self, origins: Sequence[Position], deliveries: Sequence[Position], found: Sequence[Answer]
    ) -> list[Answer]:
        """Remember what was found, unless something is remembered; returns what is, in order."""

    def ready(self) -> str | None:
        """None when the store answers, else what is wrong."""
