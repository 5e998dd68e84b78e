"""Messages and the place they bring a source to, committed together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from threading import Thread
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from kaption.connections.kafka.messages import Message
from kaption.connections.settings import KafkaConnection
from kaption.producers.deadline import within
from kaption.producers.errors import TooLargeError
from kaption.producers.feed.checkpoint import Checkpoint, Place
from kaption.schemas import Topic
from kaption.schemas.limits import MIB

_BATCH_BYTES = 256 * 1024
_REQUEST_S = 15.0
_TIMEOUT_S = 60.0
_CLOSE_S = 5.0


class Transactions:
    """A producer that is never used again after an error: then the outcome is unknown.

    Each call ends within `deadline_s`, with KafkaError or TimeoutError where it did not work.
    """

    def __init__(
        self, connection: KafkaConnection, topic: Topic, checkpoint: Checkpoint, deadline_s: float
    ) -> None:
        """`topic` with its prefix. Connects in `open`."""
        self._connection = connection
        self._topic = topic
        self._checkpoint = checkpoint
        self._deadline_s = deadline_s
        self._producer: Any = None
        self._abandoned = False

    def open(self) -> None:
        """Begin: an open transaction of another run is aborted, one that it ended is waited for."""
        within(self._deadline_s, self._open, "opening a producer")

    def commit(self, messages: Sequence[Message], place: Place) -> None:
        """Publish the messages and remember the place, both or nothing.

        Raises TooLargeError where the topic takes no message of that size; nothing was committed.
        """
        within(self._deadline_s, lambda: self._commit(messages, place), "a transaction")

    def abandon(self) -> None:
        """Leave the producer behind, without waiting."""
        self._abandoned = True
        if self._producer is not None:
            Thread(target=_close, args=(self._producer,), daemon=True).start()

    def close(self) -> None:
        """End the connections of a producer without error."""
        self._producer.close(timeout=_CLOSE_S)

    def _open(self) -> None:
        request_ms = int(min(_REQUEST_S, self._deadline_s / 2) * 1000)
        self._producer = KafkaProducer(
            **self._connection.client_config(),
            transactional_id=self._checkpoint.group,
            transaction_timeout_ms=int(_TIMEOUT_S * 1000),
            compression_type="zstd",
            batch_size=_BATCH_BYTES,
            max_request_size=self._topic.max_message_bytes + MIB,
            max_block_ms=int(self._deadline_s * 1000),
            request_timeout_ms=request_ms,
            delivery_timeout_ms=int(self._deadline_s * 1000),
            bootstrap_timeout_ms=request_ms,
            reconnect_backoff_max_ms=1000,
            # The broker still writes markers when the next transaction begins, and refuses it.
            retry_backoff_ms=1,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        if self._abandoned:
            # Too late, and nobody else will close it.
            self.abandon()
        else:
            self._producer.init_transactions()

    def _commit(self, messages: Sequence[Message], place: Place) -> None:
        offsets = self._checkpoint.offsets(place)
        self._producer.begin_transaction()
        futures = [
            self._producer.send(
                self._topic.name, value=each.value, key=each.key, headers=list(each.headers)
            )
            for each in messages
        ]
        # kafka-python can commit a transaction of which a batch has failed.
        self._producer.flush()
        for future, message in zip(futures, messages, strict=True):
            if not future.succeeded():
                raise _refusal(future.exception, message, self._topic.name)
        self._producer.send_offsets_to_transaction(offsets, self._checkpoint.group)
        self._producer.commit_transaction()


def _refusal(error: Exception | None, message: Message, topic: str) -> Exception:
    if isinstance(error, (MessageSizeTooLargeError, RecordListTooLargeError)):
        return TooLargeError(
            f"a message of {len(message.value)} bytes is too large for {topic}: "
            "raise the topic's max.message.bytes, then run it again"
        )
    return error or KafkaError("a message was not delivered")


def _close(producer: KafkaProducer) -> None:
    producer._sender.force_close()
    # It flushes before it closes, and trips over what was aborted.
    with suppress(KafkaError):
        producer.close(timeout=_CLOSE_S)
