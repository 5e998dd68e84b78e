"""Publishes the inputs of a run to pairs.raw: pairs and unreadable items."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable

from kaption.connections.kafka.messages import Message
from kaption.producers.image import ClaimCheck
from kaption.producers.publisher import Publisher
from kaption.producers.sources import Found, Item, Large, Unreadable
from kaption.producers.sources.source import message_of
from kaption.schemas import RawPair
from kaption.schemas.wire import ORIGIN_HEADER
from kaption.workers.batch.journal import Journal
from kaption.workers.batch.tally import Tally
from kaption.workers.settings import Settings

_TOLD = 20
"""Unreadable items that are told one by one. dead.jsonl has them all."""


class Feeder(threading.Thread):
    """A thread that publishes the inputs of a run while the stages already work."""

    def __init__(
        self,
        settings: Settings,
        items: Iterable[Found],
        journal: Journal,
        earlier: Tally,
        warn: Callable[[str], None],
    ) -> None:
        """An input with an outcome in `earlier` is not published again.

        `warn` is called with one line of text for each of the first unreadable items.
        """
        super().__init__(name="feeder", daemon=True)
        self.published = earlier.inputs
        """Inputs that have an outcome of an earlier attempt, or were published."""
        self.unreadable = 0
        self.not_understood: Counter[str] = Counter()
        """How often a field did not fit and went to `extra`, by field."""
        self.done = False
        """The broker has all inputs."""
        self.error: Exception | None = None
        """What ended the thread, if it failed. The run raises it."""
        self._kafka = settings.kafka
        self._claims = ClaimCheck(settings.store)
        self._items = items
        self._journal = journal
        # The tally itself goes on counting in another thread.
        self._has_outcome = bytes(earlier.seen)
        self._warn = warn
        self._stopped = False

    def stop(self) -> None:
        """Publish nothing more."""
        self._stopped = True

    def run(self) -> None:
        """Publish all inputs, then set `done`."""
        try:
            with Publisher(self._kafka) as publisher:
                for found in self._items:
                    if self._stopped:
                        return
                    self._feed(publisher, found.item, found.place)
        except Exception as error:  # noqa: BLE001  # the run watches `error` and raises it
            self.error = error
        else:
            self.done = True

    def _feed(self, publisher: Publisher, item: Item, place: str) -> None:
        message = self._message(item)
        number = self._journal.inputs.number(message.value)
        if self._has_outcome[number : number + 1] > b"\0":
            return
        if isinstance(item, Large):
            self._claims.store(item.content)
        self.published += 1
        self._journal.places[number] = place
        origin = (ORIGIN_HEADER, str(self._journal.origin(number)).encode())
        publisher.publish_bytes(message.value, message.key, (*message.headers, origin))

    def _message(self, item: Item) -> Message:
        item = item.pair if isinstance(item, Large) else item
        if isinstance(item, Unreadable):
            # Published unchanged: ingest turns it into a dead letter.
            self.unreadable += 1
            if self.unreadable <= _TOLD:
                self._warn(f"{item.place}: {item.error}")
            elif self.unreadable == _TOLD + 1:
                self._warn("more inputs cannot be read: dead.jsonl names each")
        elif isinstance(item, RawPair):
            self.not_understood.update(item.not_understood)
        return message_of(item)
