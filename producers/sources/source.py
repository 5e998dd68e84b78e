"""A source: a fixed sequence of pairs that can be read on from a remembered place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kaption.connections.kafka.messages import Message
from kaption.connections.traceparent import publishing
from kaption.producers.errors import SourceError
from kaption.schemas import RawPair, encode, headers_of

SOURCE_PLACE_HEADER = "kaption-source-place"
SOURCE_ERROR_HEADER = "kaption-source-error"
CURSOR_CHARS = 2_000
_HEADER_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something in a source that is no pair.

    `raw` is published unchanged with `headers`. Ingest makes it a dead letter, and the headers tell
    where it came from.
    """

    place: str
    """File and line, member or row, for people to read."""
    raw: bytes
    """What was found; its first `RAW_BYTES` bytes."""
    error: str
    incomplete: bool = False
    """Whether it is a record without a text, without an image that can be had, or no record at all.
    A source whose first records are all so is refused."""

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Kafka headers with the place and the error."""
        return [
            (SOURCE_PLACE_HEADER, self.place[-_HEADER_CHARS:].encode(errors="replace")),
            (SOURCE_ERROR_HEADER, self.error[:_HEADER_CHARS].encode(errors="replace")),
        ]


@dataclass(frozen=True, slots=True)
class Large:
    """A pair whose image is too large for a message.

    `pair` refers to `content` by its sha256: put `content` into the blob store, then publish the
    pair.
    """

    pair: RawPair
    content: bytes
    otherwise: Unreadable
    """What to publish if there is no blob store."""


def message_of(item: RawPair | Unreadable | Message) -> Message:
    """The message that publishes an item. A pair begins a trace in a program that traces."""
    if isinstance(item, Unreadable):
        return Message(item.raw, None, tuple(item.headers))
    if isinstance(item, RawPair):
        headers = headers_of(item, None, publishing(item.pair_id))
        return Message(encode(item), item.pair_id.encode(), tuple(headers))
    return item


Item = RawPair | Large | Unreadable | Message
"""A replay finds a Message, which is published unchanged."""


class Found(NamedTuple):
    """One item, and the cursor from which reading goes on behind it."""

    item: Item
    cursor: str
    """Only its source understands it; at most `CURSOR_CHARS` characters."""
    place: str = ""
    """File and line, member or row, for people to read."""


class Source(ABC):
    """One format of stored pairs.

    The constructor's keywords are the options of the format: strings, None by default. A format
    that reads ``s3://`` also takes a StoreConnection as `store`.
    """

    @abstractmethod
    def __init__(self, location: str, **options: Any) -> None:
        """`location` is a path or URL. Opens nothing yet."""

    @classmethod
    @abstractmethod
    def recognises(cls, location: str) -> bool:
        """Whether the name of `location`, or the files in a folder, show this format.

        At most one format recognises a location.
        """

    @property
    @abstractmethod
    def identity(self) -> str:
        """The input's name: the same in every run over it, and different for another input."""

    @abstractmethod
    def read(self, after: str | None = None) -> Iterator[Found]:
        """Yields all items, or those behind the cursor `after`, always in the same order.

        What is no pair comes as `Unreadable`, and reading goes on. Raises SourceError if the input
        is missing, is damaged so that reading cannot go on, or is not the cursor's input.
        """


class LocalSource(Source):
    """A source whose location is a path on this machine."""

    def __init__(self, location: str, *, source: str | None = None) -> None:
        """`source` is the name of the data set."""
        self._path = Path(location)
        self._source = source

    @property
    def identity(self) -> str:
        """The format and the path."""
        return f"{type(self).__name__.lower()}:{self._path.resolve()}"

    def read(self, after: str | None = None) -> Iterator[Found]:
        """Read the pairs, as `Source.read` says."""
        try:
            yield from self._read(after)
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error}") from error

    @abstractmethod
    def _read(self, after: str | None) -> Iterator[Found]:
        """Read the pairs for `read`. It may raise OSError, which `read` turns into SourceError."""
