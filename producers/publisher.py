"""Publishes raw pairs to Kafka: checked before they are sent, acknowledged before they count."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, overload

from kaption.connections.kafka.messages import Message
from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.producers.errors import ClosedError, ForkedError, PublishError, TooLargeError
from kaption.producers.identity import identified
from kaption.producers.image import ClaimCheck
from kaption.producers.sending.sender import Sender, SendPolicy
from kaption.producers.spool.delivery import Spooled
from kaption.schemas import ImageSource, RawPair, Topic, decode, encode, headers_of
from kaption.schemas.limits import MIB
from kaption.schemas.topics import RAW


class PublisherOptions(TypedDict, total=False):
    """What a Publisher may be given besides its connection; see there."""

    topic: Topic
    store: StoreConnection | None
    spool: Path | None
    spool_bytes: int
    buffer_bytes: int
    max_block_s: float
    connect_timeout_s: float
    delivery_timeout_s: float
    linger_s: float


class Publisher:
    """Sends to one topic, pairs.raw.

    The producer is idempotent with acks=all: a retry of its own writes no record twice and keeps
    the order of each key. Messages wait in memory, at most `buffer_bytes` of them; then `publish`
    waits, up to `max_block_s` (0: it raises at once). What the broker has not acknowledged
    `delivery_timeout_s` after it was published has failed, and `flush` says so.

    store: where images go that are too large for a message: the workers' own store. The record
    then names the image by its content, under the same pair_id.

    spool: a folder, of one Publisher at a time. `publish` returns when the record is on this disk
    (one fsync, which threads share), also while there is no broker; a thread delivers. Records
    survive a kill -9, and the next Publisher with the folder delivers what this one did not, in
    order. It holds at most `spool_bytes`; then `publish` waits as above. After a crash or a failed
    delivery some records are sent twice, under the same pair_id, and ingest drops the second. What
    the broker refuses for good is kept in the folder (`kaption.producers.refused`), beyond
    `spool_bytes`, until you delete its file `refused` while no Publisher has the folder; `flush`
    reports it.

    Threads: any thread may call any method, at the same time. Forks: the connections and the spool
    stay with the process that made the Publisher; in a forked child every method raises
    ForkedError, so make one after the fork. `spawn` needs no care.

    Raises PublishError: no broker answers, or there is no topic, within `connect_timeout_s` (with
    a spool this is waited out); SpoolError. A context manager that flushes at its end; otherwise
    call `close`. A connection that failed is made anew by the next `publish`, which then may wait
    `connect_timeout_s`, whatever `max_block_s` is.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        topic: Topic = RAW,
        store: StoreConnection | None = None,
        spool: Path | None = None,
        spool_bytes: int = 4096 * MIB,
        buffer_bytes: int = 64 * MIB,
        max_block_s: float = 60.0,
        connect_timeout_s: float = 30.0,
        delivery_timeout_s: float = 120.0,
        linger_s: float = 0.02,
    ) -> None:
        self._pid = os.getpid()
        self._closed = False
        self._claims = ClaimCheck(store)
        policy = SendPolicy(
            buffer_bytes, max_block_s, connect_timeout_s, delivery_timeout_s, linger_s
        )
        topic = topic.prefixed(connection.topic_prefix)
        self._where = f"{topic.name} at {connection.bootstrap}"
        self._way: Sender | Spooled
        if spool is None:
            self._way = Sender(connection, topic, policy)
        else:
            self._way = Spooled(
                spool,
                spool_bytes,
                # What is in flight is bounded by the spool's window.
                partial(Sender, connection, topic, replace(policy, buffer_bytes=sys.maxsize)),
                limit=topic.max_message_bytes,
                max_block_s=max_block_s,
                patience_s=delivery_timeout_s,
            )

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
        its file cannot be read, PublishError where its image cannot be stored, and as
        `publish_bytes`.
        """
        self.check()
        large: bytes | None = None
        if pair is None:
            image = fields.get("image")
            if isinstance(image, (bytes, Path, str)):
                fields["image"], large = self._claims.source(image)
            pair = identified(fields)
        message = _message(pair)
        if message.size > self._way.limit and pair.image.inline is not None:
            large = pair.image.inline
            pair = pair.model_copy(update={"image": self._claims.reference(large)})
            message = _message(pair)
        if large is not None:
            # Before the record: what names the image must find it.
            self._claims.store(large)
        self._send(message)
        return pair.pair_id

    def publish_bytes(
        self, value: bytes, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Send a message as it is: what is no pair becomes a dead letter, with its headers.

        Raises TooLargeError; BufferFullError where the broker does not keep up; DeliveryError
        where the buffer is full of failures; SpoolError where the spool's disk is full; ClosedError
        and ForkedError; PublishError where the topic cannot be used.
        """
        self.check()
        self._send(Message(value, key, tuple(headers)))

    def flush(self) -> None:
        """Wait until all that was published is acknowledged. Raises DeliveryError with what is not.

        Returns after the delivery time-out at the latest, one request more included; with a spool,
        as long as records get through. Raises StillSpooledError when none did for that long.
        """
        self.check()
        self._way.flush()

    def close(self) -> None:
        """`flush`, then close the connections; once more it does nothing."""
        if self._closed:
            return
        self.check()
        self._closed = True
        self._way.close()

    def check(self) -> None:
        """Raises ClosedError, and ForkedError in a forked child; waits for nothing."""
        # Before any lock is taken: in a child it may be held by a thread that is not there.
        if os.getpid() != self._pid:
            raise ForkedError(
                "this Publisher belongs to the process that made it: make another one after the "
                "fork, in the child"
            )
        if self._closed:
            raise ClosedError("this Publisher is closed: make another one")

    def __enter__(self) -> Self:
        self.check()
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

    def _send(self, message: Message) -> None:
        if message.size > self._way.limit:
            raise TooLargeError(
                f"the message has {len(message.value)} bytes, too many for {self._where}: shorten "
                "it, or raise the topic's max.message.bytes"
            )
        self._way.send(message)


def _message(pair: RawPair) -> Message:
    value = encode(pair)
    # A model can be made without validation; what cannot be read must not be sent.
    decode(value, RawPair)
    return Message(value, pair.pair_id.encode(), tuple(headers_of(pair)))
