"""The way in of a run: pairs and what is unreadable to pairs.raw."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from kaption.connections.kafka.messages import Message
from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.producers.image import ClaimCheck
from kaption.producers.publisher import Publisher
from kaption.producers.sources import Item, Large, Unreadable


class Feeder(threading.Thread):
    """Publishes the inputs of a run while its stages already work."""

    def __init__(
        self,
        kafka: KafkaConnection,
        store: StoreConnection,
        items: Iterable[Item],
        warn: Callable[[str], None],
    ) -> None:
        """`warn` gets one line of text for each unreadable item."""
        super().__init__(name="feeder", daemon=True)
        self.published = 0
        self.unreadable = 0
        self.done = False
        """All inputs are with the broker."""
        self.error: Exception | None = None
        self._kafka = kafka
        self._claims = ClaimCheck(store)
        self._items = items
        self._warn = warn

    def run(self) -> None:
        """Publish all, then set `done`."""
        try:
            with Publisher(self._kafka) as publisher:
                for item in self._items:
                    match item:
                        case Unreadable():
                            # As it is: ingest makes a dead letter of it, with these headers.
                            publisher.publish_bytes(item.raw, headers=item.headers)
                            self.unreadable += 1
                            self._warn(f"{item.place}: {item.error}")
                        case Large():
                            self._claims.store(item.content)
                            publisher.publish(item.pair)
                        case Message():
                            publisher.publish_bytes(item.value, item.key, item.headers)
                        case _:
                            publisher.publish(item)
                    self.published += 1
        except Exception as error:  # noqa: BLE001  # raised again by the run, which watches this thread
            self.error = error
        else:
            self.done = True
