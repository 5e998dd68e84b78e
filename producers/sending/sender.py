"""Sends messages to one topic of Kafka, and knows of each whether it arrived."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from kaption.connections.errors import Fatal
from kaption.connections.kafka.access import check_access, denial
from kaption.connections.kafka.clients import idempotent_producer
from kaption.connections.kafka.internals import discard, let_go_in_child
from kaption.connections.kafka.library import (
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
)
from kaption.connections.kafka.messages import Message
from kaption.connections.kafka.topics import message_limit
from kaption.connections.settings import KafkaConnection
from kaption.producers.errors import ClosedError, DeliveryError, PublishError, TooLargeError
from kaption.producers.options import PublisherOptions
from kaption.producers.sending.forks import let_go_after_fork
from kaption.producers.sending.in_flight import InFlight
from kaption.schemas import Topic

_CLOSE_S = 10.0
_CREATE = "run `kaption topics create`, or check the broker"


class Sender:
    """An idempotent producer with acks=all; every method may be called from any thread.

    Raises PublishError where no broker answers or the topic is missing.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        topic: Topic,
        options: PublisherOptions,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`topic` has its prefix already. `tell` learns what a connection waits for."""
        self._connection = connection
        self._topic = topic
        self._options = options
        self._tell = tell
        self._request_timeout_s = min(30.0, options.delivery_timeout_s / 2)
        # The library itself fails most messages that are overdue: give it the time for that.
        self._in_flight = InFlight(
            options.buffer_bytes, options.delivery_timeout_s + self._request_timeout_s
        )
        self.limit = topic.max_message_bytes
        """Bytes of the largest message: the smaller of the contract's limit and the topic's own."""
        self._opening = threading.Lock()
        self._closed = False
        self._producer: Any = self._open()
        let_go_after_fork(self)

    def send(self, message: Message) -> None:
        """Hand a message over. Raises as `Publisher.publish_bytes`."""
        try:
            number = self._in_flight.admit(message, self._options.max_block_s)
        except DeliveryError:
            self._abandon()
            raise
        try:
            future = self._hand_over(message)
        except PublishError:
            self._in_flight.delivered(number)
            raise
        # Both are called on the producer's thread.
        future.add_callback(lambda _: self._in_flight.delivered(number))
        future.add_errback(partial(self._in_flight.failed, number))

    def flush(self, patience_s: float = float("inf")) -> None:
        """Wait until all is acknowledged or has failed. Raises DeliveryError.

        After `patience_s` seconds without an acknowledgement all has failed.
        """
        try:
            self._in_flight.settle(patience_s)
        except DeliveryError:
            self._abandon()
            raise

    def close(self, patience_s: float = float("inf")) -> None:
        """`flush`, then close the connections."""
        try:
            self.flush(patience_s)
        finally:
            self.stop()
        # What another thread sent in between has failed: only this flush reports it.
        self.flush()

    def stop(self) -> None:
        """Close the connections. Messages without acknowledgement fail; the next `flush` tells."""
        with self._opening:
            self._closed = True
        self._abandon()

    def let_go(self) -> None:
        """In a forked child: leave the connections to the parent, without waiting for anything."""
        if self._producer is not None:
            let_go_in_child(self._producer)

    def _hand_over(self, message: Message) -> Any:
        while True:
            producer = self._ready()
            try:
                return producer.send(
                    self._topic.name,
                    value=message.value,
                    key=message.key,
                    headers=list(message.headers),
                )
            except IllegalStateError as error:
                # Another thread may have left the producer behind meanwhile: take the next one.
                if self._producer is producer:
                    raise self._refusal(error, message) from error
            except KafkaError as error:
                raise self._refusal(error, message) from error

    def _ready(self) -> Any:
        with self._opening:
            if self._closed:
                raise ClosedError("this Publisher is closed: make another one")
            if self._producer is None:
                self._producer = self._open()
            return self._producer

    def _open(self) -> Any:
        timeout_s = self._options.connect_timeout_s
        seen = None
        try:
            seen = check_access(self._connection, timeout_s)
            if seen:
                self._tell(self._unanswered(seen))
            # One message that the broker finds too large ends an idempotent producer, with all
            # that other threads have in it. So no message may exceed the topic's own limit.
            found = message_limit(self._connection, self._topic.name, timeout_s)
            if found is None:
                self._tell(f"{self._where} was not found yet: {_CREATE}")
            self.limit = min(self._topic.max_message_bytes, found or self._topic.max_message_bytes)
            producer = idempotent_producer(
                self._connection,
                max_message_bytes=self.limit,
                linger_s=self._options.linger_s,
                connect_s=timeout_s,
                request_s=self._request_timeout_s,
                delivery_s=self._options.delivery_timeout_s,
            )
        except Fatal as error:
            raise PublishError(str(error)) from error
        except KafkaError as error:
            raise PublishError(
                f"{self._unanswered(seen or str(error))}, or give the Publisher a spool, which"
                " needs no broker yet"
            ) from error
        try:
            # Looked up here, so that `send` has nothing to wait for.
            producer.partitions_for(self._topic.name)
        except KafkaError as error:
            discard(producer, _CLOSE_S)
            raise self._unusable(error) from error
        return producer

    def _abandon(self) -> None:
        """Leave the producer behind; the next `send` opens another one.

        After an error some producers never recover. Each of its messages is delivered or reported
        by now, or will be reported, so that closing it by force loses nothing.
        """
        with self._opening:
            producer, self._producer = self._producer, None
        if producer is not None:
            discard(producer, _CLOSE_S)

    def _refusal(self, error: KafkaError, message: Message) -> PublishError:
        if isinstance(error, MessageSizeTooLargeError):
            return TooLargeError(
                f"the message has {len(message.value)} bytes, too many for {self._where}: raise "
                "the topic's max.message.bytes"
            )
        return self._unusable(error)

    def _unusable(self, error: KafkaError) -> PublishError:
        if isinstance(error, KafkaTimeoutError):
            return PublishError(
                f"{self._where} was not found within {self._options.connect_timeout_s:g} s: "
                f"{_CREATE}"
            )
        return PublishError(f"{self._where}: {denial(self._connection, error) or error}")

    def _unanswered(self, why: str) -> str:
        where = self._connection.bootstrap
        return f"no broker answers at {where}: {why}; start it, or correct the address"

    @property
    def _where(self) -> str:
        return f"{self._topic.name} at {self._connection.bootstrap}"
