"""Publishes the inputs of a run to pairs.raw: pairs and unreadable items."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable

from kaption.connections.kafka.messages import Message
from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.producers.image import ClaimCheck
from kaption.producers.publisher import Publisher
from kaption.producers.sources import Item, Large, Unreadable


class Feeder(threading.Thread):
    """A thread that publishes the inputs of a run while the stages already work."""

    def __init__(
        self,
        kafka: KafkaConnection,
        store: StoreConnection,
        items: Iterable[Item],
        warn: Callable[[str], None],
    ) -> None:
        """`warn` is called with one line of text for each unreadable item."""
        super().__init__(name="feeder", daemon=True)
        self.published = 0
        self.unreadable = 0
        self.not_understood: Counter[str] = Counter()
        """How often a field did not fit and went to `extra`, by field."""
        self.done = False
        """The broker has all inputs."""
        self.error: Exception | None = None
        """What ended the thread, if it failed. The run raises it."""
        self._kafka = kafka
        self._claims = ClaimCheck(store)
        self._items = items
        self._warn = warn

    def run(self) -> None:
        """Publish all inputs, then set `done`."""
        try:
            with Publisher(self._kafka) as publisher:
                for item in self._items:
                    match item:
                        case Unreadable():
                            # Published unchanged: ingest turns it into a dead letter.
                            publisher.publish_bytes(item.raw, headers=item.headers)
                            self.unreadable += 1
                            self._warn(f"{item.place}: {item.error}")
                        case Large():
                            self._claims.store(item.content)
                            publisher.publish(item.pair)
                            self.not_understood.update(item.pair.not_understood)
                        case Message():
                            publisher.publish_bytes(item.value, item.key, item.headers)
                        case _:
                            publisher.publish(item)
                            self.not_understood.update(item.not_understood)
                    self.published += 1
        except Exception as error:  # noqa: BLE001  # the run watches `error` and raises it
            self.error = error
        else:
            self.done = True
