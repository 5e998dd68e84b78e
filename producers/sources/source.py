"""What a source of pairs is: a fixed sequence that can be taken up where it was left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from kaption.connections.kafka.messages import Message
from kaption.schemas import RawPair
from kaption.schemas.limits import RAW_MESSAGE_BYTES

SOURCE_PLACE_HEADER = "kaption-source-place"
SOURCE_ERROR_HEADER = "kaption-source-error"
CURSOR_CHARS = 2_000
RAW_BYTES = RAW_MESSAGE_BYTES - 64 * 1024
"""Most that `Unreadable.raw` holds: a message's key, headers and frame need room too."""
_HEADER_CHARS = 2_000


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
    """What was found; at most `RAW_BYTES` of it."""
    error: str

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Kafka headers: the place, and what is wrong."""
        return [
            (SOURCE_PLACE_HEADER, self.place[-_HEADER_CHARS:].encode(errors="replace")),
            (SOURCE_ERROR_HEADER, self.error[:_HEADER_CHARS].encode(errors="replace")),
        ]


@dataclass(frozen=True, slots=True)
class Large:
    """A pair whose image is too large for a message.

    The pair names `content`, which is to be in the blob store before it is published.
    """

    pair: RawPair
    content: bytes
    otherwise: Unreadable
    """What to publish where there is no store."""


Item = RawPair | Large | Unreadable | Message
"""A message is published as it is: what is replayed was one already."""


class Found(NamedTuple):
    """One item, and the cursor behind it."""

    item: Item
    cursor: str
    """Opaque to all but its source; at most `CURSOR_CHARS` characters."""


class Source(ABC):
    """Where pairs come from: one file of this package each, found by its module's name.

    Options are strings given by keyword, and None by default; who reads ``s3://`` also takes a
    StoreConnection as `store`.
    """

    @abstractmethod
    def __init__(self, location: str, **options: Any) -> None:
        """`location` is a path or URL; nothing is opened yet."""

    @classmethod
    @abstractmethod
    def recognises(cls, location: str) -> bool:
        """Whether `location` looks like this format, by its name and what a folder holds.

        One location is recognised by one format at most.
        """

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
