"""Publishes raw pairs to Kafka: each is checked before it is sent, and its arrival is confirmed."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self, overload

from pydantic import ValidationError

from kaption.connections.errors import must_be
from kaption.connections.kafka.messages import Message
from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.connections.traceparent import publishing
from kaption.producers.errors import ClosedError, ForkedError, PublishError, TooLargeError
from kaption.producers.identity import identified
from kaption.producers.image import ClaimCheck
from kaption.producers.options import PublisherOptions
from kaption.producers.sending.sender import Sender
from kaption.producers.spool.delivery import Spooled
from kaption.schemas import ImageSource, MalformedRecordError, RawPair, Topic, encode, headers_of
from kaption.schemas.topics import RAW
from kaption.schemas.wire import decode_strictly, explain


class Publisher:
    """Publishes pairs to the topic pairs.raw.

    `publish` hands a pair over, `flush` waits until Kafka has acknowledged all of them. Use it as a
    context manager, which flushes and closes at its end, or call `close`::

        with Publisher(KafkaConnection(bootstrap="kafka:9092")) as publisher:
            publisher.publish(image="https://a.example/1.jpg", text="a jug")

    The producer is idempotent and waits for all replicas (acks=all): its retries write no message
    twice and keep the order of each key. Messages wait in memory, up to `buffer_bytes`; when the
    buffer is full, `publish` waits up to `max_block_s`. A message that Kafka has not acknowledged
    `delivery_timeout_s` after it was published has failed, and `flush` reports it. These limits are
    fields of `options`.

    store: the workers' blob store. An image that is too large for a message is stored there, and
    the record names it by its sha256.

    spool: a folder on a local disk (not NFS), which one Publisher uses at a time. `publish` returns
    when the record is on the disk, also while there is no broker, and a thread delivers it. The
    next Publisher with this folder delivers what a killed one left, in order. Some records may be
    sent twice then, and ingest drops the second. `flush` reports a record that the broker refuses
    for good; it stays in the folder's `refused.db`, which `kaption.producers.refused` reads.

    Threads: any thread may call any method at any time. Forks: in a forked child every method
    raises ForkedError, because connections and spool belong to the parent; make a Publisher in the
    child.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        topic: Topic = RAW,
        store: StoreConnection | None = None,
        spool: Path | str | None = None,
        options: PublisherOptions | None = None,
    ) -> None:
        """Connect. With a spool, no broker is needed yet.

        Raises TypeError for an argument of a wrong kind, PublishError if no broker answers within
        `connect_timeout_s`, or none has the topic, and SpoolError if the folder cannot be used.
        """
        must_be(connection, KafkaConnection, "connection", "KafkaConnection(bootstrap='host:9092')")
        must_be(topic, Topic, "topic", "a Topic, such as kaption.schemas.topics.RAW")
        must_be(store, StoreConnection | None, "store", "StoreConnection(url='s3://...') or None")
        must_be(spool, str | Path | None, "spool", "the path of a folder")
        must_be(options, PublisherOptions | None, "options", "PublisherOptions(...) or None")
        options = options or PublisherOptions()
        self._pid = os.getpid()
        self._closed = False
        self._close_s = options.close_timeout_s
        self._claims = ClaimCheck(store)
        topic = topic.prefixed(connection.topic_prefix)
        self._where = f"{topic.name} at {connection.bootstrap}"
        self._way: Sender | Spooled
        if spool is None:
            self._way = Sender(connection, topic, options)
        else:
            # The spool hands over one window at a time, which bounds what is in memory.
            sending = replace(options, buffer_bytes=sys.maxsize)
            awaited = deque[str](maxlen=1)
            connect = partial(Sender, connection, topic, sending, awaited.append)
            limit = topic.max_message_bytes
            self._way = Spooled(Path(spool), options, connect, limit, awaited)

    @overload
    def publish(self, pair: RawPair, /) -> str: ...

    @overload
    def publish(
        self, /, *, image: bytes | Path | str | ImageSource, text: str, **fields: Any
    ) -> str: ...

    def publish(self, pair: RawPair | None = None, /, **fields: Any) -> str:
        """Publish one pair, given as a RawPair or by its fields; returns its pair_id.

        `image` is the image's bytes, URL or Path, or an ImageSource. A string is never a path:
        crawlers pass on what strangers wrote. A missing `pair_id` is derived from `source`,
        `page_url` and `image`. Optional fields that do not fit go to `extra`, and `not_understood`
        names them. Kafka has the pair when a later `flush` returns.

        Raises ValueError with one line if image or text are not valid, TypeError if `pair` is not
        a RawPair, OSError if the image's file cannot be read, PublishError if the image cannot be
        stored, and what `publish_bytes` raises. After a failed connection it connects again, which
        may take `connect_timeout_s` even if `max_block_s` is shorter.
        """
        self.check()
        large: bytes | None = None
        must_be(pair, RawPair | None, "pair", "a RawPair, or fields: publish(image=..., text=...)")
        if pair is None:
            image = fields.get("image")
            try:
                if isinstance(image, (bytes, Path, str)):
                    fields["image"], large = self._claims.source(image, fields.get("page_url"))
                pair = identified(fields)
            except ValidationError as error:
                raise MalformedRecordError(explain(error, RawPair)) from None
        trace = publishing(pair.pair_id)
        message = _message(pair, trace)
        if message.size > self._way.limit and pair.image.inline is not None:
            large = pair.image.inline
            pair = pair.model_copy(update={"image": self._claims.reference(large)})
            message = _message(pair, trace)
        if large is not None:
            # Before the record is sent: ingest must find the image that the record names.
            self._claims.store(large)
        self._send(message)
        return pair.pair_id

    def publish_bytes(
        self, value: bytes, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Publish one message unchecked. Ingest sends what is no pair to pairs.dead, with headers.

        Raises TooLargeError; BufferFullError if the broker does not keep up for `max_block_s`;
        DeliveryError if the buffer is full of failed messages; SpoolError if the spool's disk is
        full; ClosedError, ForkedError; PublishError if the topic cannot be used.
        """
        self.check()
        self._send(Message(value, key, tuple(headers)))

    def flush(self) -> None:
        """Wait until Kafka has acknowledged all that was published.

        Raises DeliveryError with the messages that failed; each is reported once. Waits for at most
        `delivery_timeout_s` and one request; with a spool, as long as records get through, and then
        raises StillSpooledError after `delivery_timeout_s` without an acknowledgement.
        """
        self.check()
        self._way.flush()

    def close(self) -> None:
        """`flush`, then close the connections; a second call does nothing.

        Gives up after `close_timeout_s` without an acknowledgement: what is not sent then is in the
        DeliveryError, or stays in the spool.
        """
        if self._closed:
            return
        self.check()
        self._closed = True
        self._way.close(self._close_s)

    def check(self) -> None:
        """Raises ClosedError, or ForkedError in a forked child; returns at once."""
        # Before any lock is taken: in a child, a thread that does not exist there may hold it.
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

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except PublishError as failed:
            if error is None:
                raise
            # The caller's own error matters more.
            error.add_note(str(failed))

    def _send(self, message: Message) -> None:
        if message.size > self._way.limit:
            raise TooLargeError(
                f"the message has {len(message.value)} bytes, too many for {self._where}: shorten "
                "it, or raise the topic's max.message.bytes"
            )
        self._way.send(message)


def _message(pair: RawPair, trace: str | None) -> Message:
    value = encode(pair)
    # pydantic's model_construct and model_copy validate nothing, and ingest would not read it.
    decode_strictly(value, RawPair)
    return Message(value, pair.pair_id.encode(), tuple(headers_of(pair, None, trace)))
