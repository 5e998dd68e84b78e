"""What a source of pairs is: a fixed sequence that can be taken up where it was left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from schemas import RawPair

SOURCE_PLACE_HEADER = "kaption-source-place"
SOURCE_ERROR_HEADER = "kaption-source-error"
CURSOR_CHARS = 2_000


class SourceError(Exception):
    """The source cannot be read; the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something in a source that is no pair.

    Published as it is, with its headers, it becomes a dead letter that tells where it came from.
    """

    place: str
    """For people: file and line, member, row."""
    raw: bytes
    """What was found; at most what fits a message of pairs.raw."""
    error: str

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Kafka headers: the place, and what is wrong."""
        return [
            (SOURCE_PLACE_HEADER, self.place.encode(errors="replace")),
            (SOURCE_ERROR_HEADER, self.error.encode(errors="replace")),
        ]


class Found(NamedTuple):
    """One item, and the cursor behind it."""

    item: RawPair | Unreadable
    cursor: str
    """Opaque to all but its source; at most `CURSOR_CHARS` characters."""


class Source(ABC):
    """Where pairs come from: one file of this package each, found by its module's name."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Names the input: the same for every run over it, different for another input."""

    @abstractmethod
    def read(self, after: str | None = None) -> Iterator[Found]:
        """All items, or those behind the cursor `after`, always in the same order.

        What is no pair comes as `Unreadable` and the rest goes on. Raises SourceError where the
        input itself is missing, damaged beyond going on, or not the one the cursor came from.
        """
