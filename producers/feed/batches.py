"""A source cut into batches: the records of one transaction each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from kaption.connections.kafka.messages import Message
from kaption.producers.errors import SourceError
from kaption.producers.feed.checkpoint import Place
from kaption.producers.image import ClaimCheck
from kaption.producers.sources.source import Found, Item, Large, Source, Unreadable, message_of
from kaption.schemas import RawPair

_BATCH_RECORDS = 1_000
_BATCH_BYTES = 8 * 1024 * 1024
_BATCH_S = 1.0
_CATCH_UP_S = 0.1


@dataclass(slots=True)
class SourceBatch:
    """Consecutive records of a source, and the cursor behind the last of them."""

    messages: list[Message] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    """What was read and is no pair; `messages` holds it too."""
    not_understood: Counter[str] = field(default_factory=Counter)
    """Fields that did not fit, by name."""
    cursor: str = ""
    size: int = 0
    """Bytes of the messages."""

    @property
    def full(self) -> bool:
        """Whether it holds as much as one transaction should."""
        return len(self.messages) >= _BATCH_RECORDS or self.size >= _BATCH_BYTES

    def add(self, item: RawPair | Unreadable | Message, cursor: str) -> None:
        """Append one record."""
        if isinstance(item, Unreadable):
            self.unreadable.append(item)
        elif isinstance(item, RawPair):
            self.not_understood.update(item.not_understood)
        message = message_of(item)
        self.messages.append(message)
        self.size += message.size
        self.cursor = cursor


def batches(
    source: Source, place: Place, claims: ClaimCheck | None, rate: Rate | None
) -> Iterator[SourceBatch]:
    """All that is behind `place`, each batch not empty.

    `claims` stores images that are too large for a message. Without it their pairs are unreadable.
    Raises SourceError after the last batch before the damage, so that this batch is published.
    """
    batch, failed = SourceBatch(), None
    deadline = time.monotonic() + _BATCH_S
    items: Iterable[Found] = source.read(place.cursor)
    if place.cursor is None:
        # Tansu keeps offsets without their metadata: the number alone leads there too, more slowly.
        items = islice(items, place.published, None)
    try:
        for found in items:
            if rate is not None:
                rate.take()
            batch.add(_stored(found.item, claims), found.cursor)
            if batch.full or time.monotonic() >= deadline:
                yield batch
                batch = SourceBatch()
                deadline = time.monotonic() + _BATCH_S
    except SourceError as error:
        failed = error
    if batch.messages:
        yield batch
    if failed is not None:
        raise failed


def _stored(item: Item, claims: ClaimCheck | None) -> RawPair | Unreadable | Message:
    if not isinstance(item, Large):
        return item
    if claims is None:
        return item.otherwise
    # The image before the record that names it. After a kill it is stored again, under the same
    # name.
    claims.store(item.content)
    return item.pair


class Rate:
    """Spaces calls of `take` evenly.

    No sleep is exact, so that up to a tenth of a second of a pause is caught up; there is no
    burst beyond that.
    """

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises ValueError where `per_second` is not above 0."""
        if not per_second > 0:
            raise ValueError(f"a rate of {per_second:g} per second would never end")
        self._interval_s = 1 / per_second
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    def take(self) -> None:
        """Wait until the next record may go."""
        now = self._clock()
        if self._next > now:
            self._sleep(self._next - now)
        self._next = max(self._next, now - _CATCH_UP_S) + self._interval_s
