"""Publishes raw pairs to Kafka: checked before they are sent, acknowledged before they count."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

from kafka import KafkaProducer
from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from producers.errors import DeliveryError, Message, PublishError, TooLargeError
from producers.identity import identified
from producers.image import image_source
from producers.in_flight import InFlight
from schemas import ImageSource, KafkaConnection, RawPair, Topic, decode, encode, headers_of
from schemas.topics import RAW

_BATCH_BYTES = 256 * 1024
_CLOSE_S = 10.0


class Publisher:
    """Sends to one topic, pairs.raw; may be used from several threads.

    The producer is idempotent with acks=all: a retry of its own writes no record twice and keeps
    the order of each key. Messages wait in memory, at most `buffer_bytes` of them; then `publish`
    waits, up to `max_block_s`. What the broker has not acknowledged `delivery_timeout_s` after it
    was published has failed, and `flush` says so.

    Raises PublishError: no broker answers. A context manager that flushes at its end; otherwise
    call `close`.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        topic: Topic = RAW,
        buffer_bytes: int = 64 * 1024 * 1024,
        max_block_s: float = 60.0,
        delivery_timeout_s: float = 120.0,
        linger_s: float = 0.02,
    ) -> None:
        self._connection = connection
        self._topic = topic.prefixed(connection.topic_prefix)
        self._max_block_s = max_block_s
        self._delivery_timeout_s = delivery_timeout_s
        self._request_timeout_s = min(30.0, delivery_timeout_s / 2)
        self._linger_s = linger_s
        # The library fails what is overdue by itself, most of the time: give it that time.
        self._in_flight = InFlight(buffer_bytes, delivery_timeout_s + self._request_timeout_s)
        self._opening = threading.Lock()
        self._producer: KafkaProducer | None = self._open()

    @overload
    def publish(self, pair: RawPair, /) -> str: ...

    @overload
    def publish(
        self, /, *, image: bytes | Path | str | ImageSource, text: str, **fields: Any
    ) -> str: ...

    def publish(self, pair: RawPair | None = None, /, **fields: Any) -> str:
        """Send a pair, given whole or by its fields; returns its pair_id.

        `image` may be bytes, a path, a URL or an ImageSource; without `pair_id` it is derived
        from `source`, `page_url` and `image`. The pair is delivered when `flush` has returned.

        Raises ValueError (pydantic's, or a WireError) where it is no valid RawPair, OSError where
        its file cannot be read, and as `publish_bytes`.
        """
        if pair is None:
            image = fields.get("image")
            if isinstance(image, (bytes, Path, str)):
                fields["image"] = image_source(image)
            pair = identified(fields)
        value = encode(pair)
        # A model can be made without validation; what cannot be read must not be sent.
        decode(value, RawPair)
        self.publish_bytes(value, pair.pair_id.encode(), headers_of(pair))
        return pair.pair_id

    def publish_bytes(
        self, value: bytes, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Send a message as it is: what is no pair becomes a dead letter, with its headers.

        Raises TooLargeError; BufferFullError where the broker does not keep up; DeliveryError
        where the buffer is full of failures; PublishError where the topic cannot be used.
        """
        message = Message(value, key, tuple(headers))
        try:
            number = self._in_flight.admit(message, self._max_block_s)
        except DeliveryError:
            self._abandon()
            raise
        try:
            future = self._ready().send(
                self._topic.name, value=value, key=key, headers=list(headers)
            )
        except KafkaError as error:
            self._in_flight.delivered(number)
            raise self._refusal(error, message) from error
        # Both are called on the producer's thread.
        future.add_callback(lambda _: self._in_flight.delivered(number))
        future.add_errback(partial(self._in_flight.failed, number))

    def flush(self) -> None:
        """Wait until all that was published is acknowledged. Raises DeliveryError with what is not.

        Returns after the delivery time-out at the latest, one request more included.
        """
        try:
            self._in_flight.settle()
        except DeliveryError:
            self._abandon()
            raise

    def close(self) -> None:
        """`flush`, then close the connections."""
        try:
            self.flush()
        finally:
            self._abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except PublishError as failed:
            if error is None:
                raise
            # The first error is the one to see.
            error.add_note(str(failed))

    def _ready(self) -> KafkaProducer:
        with self._opening:
            if self._producer is None:
                self._producer = self._open()
            return self._producer

    def _open(self) -> KafkaProducer:
        bootstrap_ms = int(self._max_block_s * 1000)
        try:
            limit = self._message_limit(bootstrap_ms)
            return KafkaProducer(
                **self._connection.client_config(),
                acks="all",
                enable_idempotence=True,
                compression_type="zstd",
                linger_ms=int(self._linger_s * 1000),
                batch_size=min(_BATCH_BYTES, limit // 2),
                max_request_size=limit,
                max_block_ms=int(self._max_block_s * 1000),
                request_timeout_ms=int(self._request_timeout_s * 1000),
                delivery_timeout_ms=int(self._delivery_timeout_s * 1000),
                bootstrap_timeout_ms=bootstrap_ms,
                reconnect_backoff_max_ms=1000,
                allow_auto_create_topics=False,
            )
        except KafkaError as error:
            raise PublishError(
                f"no broker answers at {self._connection.bootstrap}: {error}"
            ) from error

    def _message_limit(self, timeout_ms: int) -> int:
        """The topic's own limit where it can be read: one message that the broker finds too large
        ends an idempotent producer, with all that others have in it."""
        admin = KafkaAdminClient(
            **self._connection.client_config(), bootstrap_timeout_ms=timeout_ms
        )
        try:
            resource = ConfigResource("TOPIC", self._topic.name)
            found = admin.describe_configs([resource], config_filter="all")["topic"]
        finally:
            admin.close()
        setting = found[self._topic.name].get("max.message.bytes")
        limit = self._topic.max_message_bytes
        return min(limit, int(setting["value"])) if setting else limit

    def _abandon(self) -> None:
        """Leave the producer behind; the next `publish` opens another one.

        After an error some never recover. All it had is delivered or reported by now, or will be
        reported, so that nothing is lost by force.
        """
        with self._opening:
            producer, self._producer = self._producer, None
        if producer is not None:
            producer._sender.force_close()
            # It flushes before it closes, and trips over what was aborted.
            with suppress(KafkaError):
                producer.close(timeout=_CLOSE_S)

    def _refusal(self, error: KafkaError, message: Message) -> PublishError:
        where = f"{self._topic.name} at {self._connection.bootstrap}"
        if isinstance(error, MessageSizeTooLargeError):
            return TooLargeError(
                f"the message has {len(message.value)} bytes, too many for {where}: give the "
                "image's URL, store it as a blob, or raise the topic's max.message.bytes"
            )
        if isinstance(error, KafkaTimeoutError):
            return PublishError(
                f"{where} was not found within {self._max_block_s:g} s: "
                "run `kaption topics create`, or check the broker"
            )
        return PublishError(f"{where}: {error}")
