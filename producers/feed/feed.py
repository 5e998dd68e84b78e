"""A source published to pairs.raw: every record once, however often it is interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from kafka.errors import AuthorizationError, KafkaError

from kaption.connections.errors import Fatal
from kaption.connections.kafka.access import check_access, denial
from kaption.connections.kafka.messages import Message
from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.producers.deadline import within
from kaption.producers.errors import PublishError
from kaption.producers.feed.checkpoint import START, Checkpoint, Place
from kaption.producers.feed.rate import Rate
from kaption.producers.image import ClaimCheck
from kaption.producers.sources.source import Found, Item, Large, Source, SourceError, Unreadable
from kaption.producers.transactions import Transactions
from kaption.schemas import RawPair, Topic, encode, headers_of
from kaption.schemas.topics import RAW

_BATCH_RECORDS = 1_000
_BATCH_BYTES = 8 * 1024 * 1024
_BATCH_S = 1.0
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Fed:
    """How far a feed is; all of it is committed."""

    before: int
    """Records that earlier runs published."""
    published: int = 0
    """Records that this run published, unreadable ones included."""
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class _Batch:
    messages: tuple[Message, ...]
    unreadable: tuple[Unreadable, ...]
    cursor: str


class Feed:
    """Publishes a source in transactions, each with the place in the source that it leads to.

    A run that was killed is gone on with by the next one over the same source; neither loses nor
    doubles a record for who reads with read_committed. A source belongs to one run at a time: of
    two, one ends with an error. What is unreadable is published as it is: a dead letter later.

    `store` is where images go that are too large for a message: the workers' own store. Without
    one their pairs are unreadable.

    `rate` is in records per second. A transaction may take `transaction_s`; after one that failed
    the broker is asked for `recover_s` what has become of it, and the feed goes on from there.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        source: Source,
        *,
        topic: Topic = RAW,
        store: StoreConnection | None = None,
        from_start: bool = False,
        rate: float | None = None,
        transaction_s: float = 30.0,
        recover_s: float = 120.0,
    ) -> None:
        """Raises ValueError for a rate that is not above 0."""
        self._connection = connection
        self._source = source
        self._topic = topic.prefixed(connection.topic_prefix)
        self._claims = ClaimCheck(store) if store is not None else None
        self._from_start = from_start
        self._rate = Rate(rate) if rate is not None else None
        self._transaction_s = transaction_s
        self._recover_s = recover_s
        self._checkpoint = Checkpoint(connection, self._topic.name, source.identity)
        self._transactions = self._new_transactions()
        self._place = START

    def run(
        self,
        on_commit: Callable[[Fed], None] = lambda fed: None,
        on_unreadable: Callable[[Unreadable], None] = lambda unreadable: None,
    ) -> Fed:
        """Publish all that is behind the checkpoint; to be called once.

        `on_commit` is called when the place is known and after each commit. Raises SourceError,
        and PublishError where Kafka cannot be used: run again, it goes on where it stopped.
        """
        try:
            check_access(self._connection)
            self._place = self._open()
            # Now, so that an outcome that is unknown later can be told by its place; and what was
            # committed is committed again, for the broker forgets it by the time of its commit.
            if self._place != START:
                self._commit((), START if self._from_start else self._place)
            fed = Fed(before=self._place.published)
            on_commit(fed)
            for batch in self._batches():
                place = Place(self._place.published + len(batch.messages), batch.cursor)
                self._commit(batch.messages, place)
                fed = replace(
                    fed,
                    published=fed.published + len(batch.messages),
                    unreadable=fed.unreadable + len(batch.unreadable),
                )
                for each in batch.unreadable:
                    on_unreadable(each)
                on_commit(fed)
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
        self._transactions.close()
        return fed

    def _batches(self) -> Iterator[_Batch]:
        messages: list[Message] = []
        unreadable: list[Unreadable] = []
        size = 0
        cursor = None
        failed: SourceError | None = None
        deadline = time.monotonic() + _BATCH_S
        items = self._remaining()
        while True:
            try:
                found = next(items)
            except StopIteration:
                break
            except SourceError as error:
                failed = error
                break
            if self._rate is not None:
                self._rate.take()
            item = self._stored(found.item)
            message = _message(item)
            messages.append(message)
            if isinstance(item, Unreadable):
                unreadable.append(item)
            size += message.size
            cursor = found.cursor
            full = len(messages) >= _BATCH_RECORDS or size >= _BATCH_BYTES
            if full or time.monotonic() >= deadline:
                yield _Batch(tuple(messages), tuple(unreadable), cursor)
                messages, unreadable, size = [], [], 0
                deadline = time.monotonic() + _BATCH_S
        if cursor is not None and messages:
            yield _Batch(tuple(messages), tuple(unreadable), cursor)
        if failed is not None:
            # Only now, so that what stands before the damage is published.
            raise failed

    def _remaining(self) -> Iterator[Found]:
        items = self._source.read(self._place.cursor)
        if self._place.cursor is None:
            # Tansu keeps offsets without their metadata: the number alone tells as much, slower.
            return islice(items, self._place.published, None)
        return items

    def _stored(self, item: Item) -> RawPair | Unreadable | Message:
        if not isinstance(item, Large):
            return item
        if self._claims is None:
            return item.otherwise
        # Before the record: what names the image must find it. After a kill it is stored again,
        # under the same name.
        self._claims.store(item.content)
        return item.pair

    def _commit(self, messages: tuple[Message, ...], place: Place) -> None:
        give_up: float | None = None
        while True:
            try:
                self._transactions.commit(messages, place)
            except AuthorizationError:
                raise  # nothing was committed, and waiting gives no right
            except (KafkaError, TimeoutError) as error:
                give_up = give_up or time.monotonic() + self._recover_s
                if self._recover(place, give_up, error).published != place.published:
                    continue
            self._place = place
            return

    def _recover(self, place: Place, give_up: float, why: Exception) -> Place:
        """Where the source is, after a transaction to `place` whose outcome is unknown."""
        self._transactions.abandon()
        while True:
            try:
                # Before a producer is opened, for that ends another run; and without waiting for
                # the transaction that was left behind, which only the new producer ends.
                self._check_ours(self._read(stable=False), place)
                found = self._open()
            except (KafkaError, TimeoutError) as error:
                self._transactions.abandon()
                if time.monotonic() > give_up:
                    raise PublishError(
                        f"Kafka at {self._connection.bootstrap} took no transaction for "
                        f"{self._recover_s:g} s ({why}; {error}): check the broker, then run it "
                        "again: it goes on where it stopped"
                    ) from error
                time.sleep(_PAUSE_S)
            else:
                self._check_ours(found, place)
                if found.published != place.published and time.monotonic() > give_up:
                    raise PublishError(
                        f"a transaction failed again and again for {self._recover_s:g} s ({why}): "
                        "run it again: it goes on where it stopped"
                    ) from why
                return found

    def _check_ours(self, found: Place, place: Place) -> None:
        # Had another run come to the same number, these would be the same records.
        if found.published not in (self._place.published, place.published):
            raise PublishError(
                f"another run over the same source has published up to record {found.published}: "
                "let it finish, or end it and run this again"
            )

    def _open(self) -> Place:
        """A new producer, then what is committed: nothing of an earlier one can change it now."""
        self._transactions = self._new_transactions()
        self._transactions.open()
        return self._read(stable=True)

    def _read(self, *, stable: bool) -> Place:
        limit_s = self._transaction_s
        return within(
            limit_s,
            lambda: self._checkpoint.read(limit_s / 2, stable=stable),
            "reading the checkpoint",
        )

    def _new_transactions(self) -> Transactions:
        return Transactions(self._connection, self._topic, self._checkpoint, self._transaction_s)


def _message(item: RawPair | Unreadable | Message) -> Message:
    if isinstance(item, Message):
        return item
    if isinstance(item, Unreadable):
        return Message(item.raw, headers=tuple(item.headers))
    return Message(encode(item), item.pair_id.encode(), tuple(headers_of(item)))
