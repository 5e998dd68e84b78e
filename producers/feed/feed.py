"""A source published to pairs.raw: every record once, however often it is interrupted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from kaption.connections.errors import Fatal
from kaption.connections.kafka.access import check_access, denial
from kaption.connections.kafka.clients import transactional_producer
from kaption.connections.kafka.library import (
    AuthorizationError,
    KafkaError,
    UnknownTopicOrPartitionError,
)
from kaption.connections.kafka.messages import Message, Outgoing
from kaption.connections.kafka.topic_ids import TopicIds
from kaption.connections.kafka.transaction import BlockingTransactions, Committed, Refused, Unknown
from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.connections.tls import setting
from kaption.producers.errors import PublishError, TooLargeError
from kaption.producers.feed.batches import Rate, batches
from kaption.producers.feed.checkpoint import START, Checkpoint, Place
from kaption.producers.image import ClaimCheck
from kaption.producers.sources.source import Source, Unreadable
from kaption.schemas import Topic
from kaption.schemas.topics import RAW

_PAUSE_S = 1.0
_REQUEST_S = 15.0
_EXPIRY_S = 60.0


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """Where a feed publishes to, how fast, and how long it waits. Times are in seconds."""

    topic: Topic = RAW
    store: StoreConnection | None = None
    """Where images go that are too large for a message: the workers' own store. Without one their
    pairs are unreadable."""
    from_start: bool = False
    """Publish the whole source again, whatever earlier runs published."""
    rate: float | None = None
    """Most records per second; None: as fast as they come."""
    transaction_s: float = 30.0
    """Longest duration of one transaction. Opening a producer may take twice that."""
    recover_s: float = 120.0
    """After a transaction failed: how long to ask the broker what became of it, and to try again,
    before the feed gives up."""


@dataclass(frozen=True, slots=True)
class Fed:
    """How far a feed is; all of it is committed."""

    before: int
    """Records that earlier runs published."""
    published: int = 0
    """Records that this run published, unreadable ones included."""
    unreadable: int = 0
    not_understood: Mapping[str, int] = field(default_factory=dict)
    """How often a field did not fit and went to `extra`, by field."""


class Feed:
    """Publishes a source in transactions, each with the place in the source that it leads to.

    After a run was killed, the next run over the same source continues where it stopped. A reader
    with read_committed sees each record once. A source belongs to one run at a time: of two, one
    ends with an error. What is unreadable is published as it is and becomes a dead letter.
    """

    def __init__(
        self, connection: KafkaConnection, source: Source, options: FeedOptions | None = None
    ) -> None:
        """Raises ValueError for a rate that is not above 0."""
        self._connection = connection
        self._source = source
        self._options = options = options or FeedOptions()
        self._topic = options.topic.prefixed(connection.topic_prefix)
        self._claims = ClaimCheck(options.store) if options.store is not None else None
        self._rate = Rate(options.rate) if options.rate is not None else None
        self._checkpoint = Checkpoint(connection, self._topic.name, source.identity)
        self._transactions = BlockingTransactions(self._checkpoint.group, options.transaction_s)
        self._topic_ids = TopicIds(
            connection,
            max(_REQUEST_S, options.recover_s),
            "run it again from the source's start (--from-start), for what was published before is "
            "gone",
        )
        self._place = START

    def run(
        self,
        on_commit: Callable[[Fed], None] = lambda fed: None,
        on_unreadable: Callable[[Unreadable], None] = lambda unreadable: None,
    ) -> Fed:
        """Publish all that is behind the checkpoint; to be called once.

        `on_commit` is called when the place is known and after each commit. Raises SourceError,
        and PublishError where Kafka cannot be used: another run continues where this one stopped.
        """
        try:
            fed = self._run(on_commit, on_unreadable)
        except UnknownTopicOrPartitionError as error:
            self._transactions.abandon()
            raise PublishError(f"{self._connection.bootstrap}: {error.args[0]}") from error
        except (KafkaError, TimeoutError) as error:
            self._transactions.abandon()
            why = denial(self._connection, error) or error
            raise PublishError(f"Kafka at {self._connection.bootstrap}: {why}") from error
        except Fatal as error:
            self._transactions.abandon()
            raise PublishError(str(error)) from error
        except BaseException:
            self._transactions.abandon()
            raise
        finally:
            self._topic_ids.close()
        self._transactions.close()
        return fed

    def _run(
        self, on_commit: Callable[[Fed], None], on_unreadable: Callable[[Unreadable], None]
    ) -> Fed:
        if seen := check_access(self._connection):
            raise PublishError(
                f"no broker answers at {self._connection.bootstrap} ({seen}): start it, or set "
                f"{setting('kafka', 'bootstrap')}"
            )
        self._topic_ids.check([self._topic.name])
        self._place = self._transactions.open(self._producer, self._read)
        # Commit the known place first. Later a place that differs from it tells the outcome of a
        # transaction; and the broker forgets an offset by the time of its last commit.
        if self._place != START:
            self._commit((), START if self._options.from_start else self._place)
        fed = Fed(before=self._place.published)
        on_commit(fed)
        for batch in batches(self._source, self._place, self._claims, self._rate):
            place = Place(self._place.published + len(batch.messages), batch.cursor)
            self._commit(batch.messages, place)
            fed = replace(
                fed,
                published=fed.published + len(batch.messages),
                unreadable=fed.unreadable + len(batch.unreadable),
                not_understood=Counter(fed.not_understood) + batch.not_understood,
            )
            for each in batch.unreadable:
                on_unreadable(each)
            on_commit(fed)
        return fed

    def _commit(self, messages: Sequence[Message], place: Place) -> None:
        outgoing = [Outgoing(self._topic.name, message) for message in messages]
        give_up: float | None = None
        while True:
            result = self._transactions.commit(
                outgoing,
                {self._checkpoint.partition: place.published},
                self._checkpoint.group,
                {self._topic.name: place.metadata},
            )
            if isinstance(result, Committed):
                break
            self._raise_if_waiting_is_vain(result, messages)
            give_up = give_up or time.monotonic() + self._options.recover_s
            if self._recover(place, give_up, result.error).published == place.published:
                break
        self._topic_ids.check([self._topic.name])
        self._place = place

    def _raise_if_waiting_is_vain(
        self, result: Refused | Unknown, messages: Sequence[Message]
    ) -> None:
        if isinstance(result, Refused) and result.too_large:
            raise TooLargeError(
                f"a message of {len(messages[result.too_large[0]].value)} bytes is too large for "
                f"{self._topic.name}: raise the topic's max.message.bytes, then run it again"
            ) from result.error
        missing_right = isinstance(result.error, AuthorizationError)
        if missing_right or not isinstance(result.error, (KafkaError, TimeoutError)):
            raise result.error

    def _recover(self, place: Place, give_up: float, why: Exception) -> Place:
        """The place of the source after a transaction to `place` whose outcome is unknown."""
        while True:
            try:
                found = self._transactions.open(partial(self._next_producer, place), self._read)
            except (KafkaError, TimeoutError) as error:
                if time.monotonic() > give_up:
                    raise PublishError(
                        f"Kafka at {self._connection.bootstrap} took no transaction for "
                        f"{self._options.recover_s:g} s ({why}; {error}): check the broker, then "
                        "run it again: it goes on where it stopped"
                    ) from error
                time.sleep(_PAUSE_S)
            else:
                self._check_ours(found, place)
                if found.published != place.published and time.monotonic() > give_up:
                    raise PublishError(
                        f"a transaction failed again and again for {self._options.recover_s:g} s "
                        f"({why}): run it again: it goes on where it stopped"
                    ) from why
                return found

    def _check_ours(self, found: Place, place: Place) -> None:
        # If another run has come to the same number, it has published the same records.
        if found.published not in (self._place.published, place.published):
            raise PublishError(
                f"another run over the same source has published up to record {found.published}: "
                "let it finish, or end it and run this again"
            )

    def _next_producer(self, place: Place) -> Any:
        # Look before a producer is opened, for that ends another run. Do not wait for a stable
        # offset: only the new producer ends the transaction that was left behind.
        self._check_ours(self._read(stable=False), place)
        return self._producer()

    def _producer(self) -> Any:
        limit_s = self._options.transaction_s
        return transactional_producer(
            self._connection,
            self._checkpoint.group,
            self._topic.max_message_bytes,
            request_s=min(_REQUEST_S, limit_s / 2),
            block_s=limit_s,
            expiry_s=_EXPIRY_S,
        )

    def _read(self, *, stable: bool = True) -> Place:
        return self._checkpoint.read(self._options.transaction_s / 2, stable=stable)
