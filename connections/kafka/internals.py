"""Every touch of a private attribute of kafka-python, and the fault of 3.0.12 it works round.

pyproject.toml admits no other minor version. A contract test names each attribute and fails when
the installed library no longer has it; another one fails when any other file touches one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID
from weakref import WeakSet

from kafka.consumer.fetcher import Fetcher
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    InconsistentTopicIdError,
    KafkaError,
    OffsetOutOfRangeError,
    UnknownTopicIdError,
)
from kafka.producer.transaction_manager import TransactionManager
from kafka.record.default_records import DefaultRecordBatch

from kaption.connections.kafka.messages import Partition
from kaption.connections.kafka.unreadable import PassedOver, UnreadableBatch
from kaption.schemas.wire import UNREADABLE_HEADER

_OFFSET_BYTES = 8
_FETCH_BY_ID = 13
"""The first version of Fetch that names topics by their ids, of Kafka 3.1 (KIP-516)."""
_OTHER_TOPIC = (UnknownTopicIdError.errno, InconsistentTopicIdError.errno)


def forget_offset_fetches(consumer: Any) -> None:
    """Make the next call of `committed` ask the broker anew.

    The consumer keeps the request of a call that timed out and gives its answer, however old, to
    the next call for the same partitions. Records committed in between would be done again.
    """
    consumer._coordinator._offset_fetch_futures.clear()


class OwnPartitionsAssignor(CooperativeStickyAssignor):  # type: ignore[misc]  # as _Fetcher
    """Claims what its consumer owns when it joins; of one consumer, see `claim_what_is_owned`.

    The library's claims what it was assigned last, also after the group has thrown its consumer
    out. The leader then believes that two members own the same partitions, and gives some to the
    one while the other may still commit for them: their records are done twice.
    """

    owned: Callable[[], Collection[Any]] = staticmethod(tuple)

    def metadata(self, topics: Collection[str]) -> Any:
        """What the consumer tells the group when it joins."""
        self.member_assignment = self.owned()
        return super().metadata(topics)


def claim_what_is_owned(consumer: Any) -> None:
    """Have the `OwnPartitionsAssignor` of a consumer claim what the consumer owns."""
    coordinator = consumer._coordinator

    def owned() -> Collection[Any]:
        # In the middle of a rebalance a member that was thrown out keeps its partitions.
        lost = coordinator._generation.is_lost()
        return () if lost else tuple(coordinator._subscription.assigned_partitions())

    for assignor in coordinator._assignors.values():
        assignor.owned = owned


def go_on_joining(consumer: Any) -> None:
    """Let the next poll finish a rebalance that has begun.

    The consumer begins a rebalance when the partitions of a topic have changed, and compares them
    again in every poll. The leader of a group records the new partitions as soon as it assigns
    them. If the poll ends before the broker has answered the assignment, no later poll sees a
    change, and none waits for the answer. The member then stays in its rebalance without a
    heartbeat, and the group loses it.
    """
    coordinator = consumer._coordinator
    if coordinator.rebalance_in_progress():
        coordinator.request_rejoin()


def keep_answers(consumer: Any) -> None:
    """Have a poll take the answer to a join that came after the poll before it had ended.

    The library forgets that answer and joins anew. The whole group is rebalanced again, and nobody
    reads meanwhile what the answer had assigned.
    """
    consumer._coordinator.__class__ = _Coordinator


class _Coordinator(ConsumerCoordinator):  # type: ignore[misc]  # as _Fetcher
    # To exchange it between two polls was rejected: the I/O thread looks at it later, when the poll
    # has begun. Four members that shared 64 partitions still forgot 4 of 40 answers.
    @property
    def _join_task(self) -> Any:
        return self.__dict__["_join_task"]

    @_join_task.setter
    def _join_task(self, answer: Any) -> None:
        self.__dict__["_join_task"] = None if answer is None else _Answer(answer, self)


class _Answer:
    """An answer to a join that is on its way until a poll has taken it."""

    def __init__(self, answer: Any, coordinator: Any) -> None:
        self.answer = answer
        self.coordinator = coordinator
        self.add_callback = answer.add_callback
        self.add_errback = answer.add_errback

    @property
    def is_done(self) -> Any:
        """Whether to join anew: also where the group has thrown the member out meanwhile."""
        return self.answer.is_done and self.coordinator._generation.is_lost()


def release_parked(consumer: Any) -> None:
    """Let the next poll return records of partitions that were paused and are resumed.

    The fetcher takes up the records it parked only where `_next_partition_records` is None, but a
    drained partition leaves an empty object there. A resumed partition is then neither read nor
    fetched until another one has new records. The only public way round is never to pause.
    """
    fetcher = consumer._fetcher
    if not fetcher._next_partition_records:
        fetcher._next_partition_records = None


def let_go_in_child(producer: Any) -> None:
    """In a forked child: keep the garbage collector and the end of the process from closing it.

    `close` would wait for the I/O thread, which only the parent process has.
    """
    producer._closed = True
    producer._unregister_cleanup()


def note_waits(producer: Any) -> None:
    """Have `discard` end the calls that wait for an answer to a transactional producer's request.

    The library drops a request whose coordinator cannot be reached within the request's time-out,
    and `commit_transaction` then waits for ever. To look for the request in the library's queue
    was rejected: a dropped one is no longer there.
    """
    manager = producer._transaction_manager
    manager.__class__ = _TransactionManager
    manager.results = WeakSet()


class _TransactionManager(TransactionManager):  # type: ignore[misc]  # as _Fetcher
    results: WeakSet[Any]
    discarded = False

    def _enqueue_request(self, request: Any) -> None:
        with self._lock:
            self.results.add(request.result)
            super()._enqueue_request(request)
            if self.discarded:
                self.end_waits()

    def end_waits(self) -> None:
        """Fail each request without an answer, and each later one."""
        with self._lock:
            self.discarded = True
            for result in self.results:
                if not result.is_done:
                    result.done(KafkaError("the producer was discarded"))


def discard(producer: Any, timeout_s: float) -> None:
    """Close a producer without sending what it still holds, and wait for at most `timeout_s`.

    `close` alone flushes first. After an error the flush fails or waits for messages that nothing
    can deliver any more, and the I/O thread goes on for ever. Calls of the producer that wait for
    the broker raise KafkaError, see `note_waits`.
    """
    producer._sender.force_close()
    # Its flush raises for each message that was given up just now.
    with suppress(KafkaError):
        producer.close(timeout=timeout_s)
    manager = producer._transaction_manager
    if isinstance(manager, _TransactionManager):
        manager.end_waits()


def place_failures(consumer: Any, *, pass_over: bool) -> None:
    """Have polls raise `UnreadableBatch` for a batch that cannot be read.

    With `pass_over` they return a `PassedOver` in its place, if the batch's end is known.

    The fetcher raises whatever a codec or the broker raises, and does not say where. The poll after
    that never returns: it asks a generator that has ended for more records.
    """
    consumer._fetcher.__class__ = _Fetcher
    consumer._fetcher.ends = {}
    consumer._fetcher.PartitionRecords = _PassingRecords if pass_over else _Records


def fetch_by_id(consumer: Any, topic_id: Callable[[str], UUID | None]) -> None:
    """Have fetches name topics by their ids, after `place_failures`.

    The library names them by name alone, and reads on where another topic has taken the name.
    """
    consumer._fetcher.topic_id = topic_id


def take_doubt(consumer: Any) -> bool:
    """Whether an answer since the last call was not for a topic's id, or says that it is gone."""
    fetcher = consumer._fetcher
    doubt, fetcher.doubt = fetcher.doubt, False
    return bool(doubt)


class _Fetcher(Fetcher):  # type: ignore[misc]  # kafka-python is untyped
    """Fetches by topic ids, and says where the broker, and no batch, is to blame for a failure."""

    topic_id: Callable[[str], UUID | None] = staticmethod(lambda name: None)
    doubt = False
    ends: dict[Partition, int]
    """Where the last batch ended that was read whole."""

    def _create_fetch_requests(self) -> Any:
        self.ask_for_unknown_ends()
        requests = super()._create_fetch_requests()
        for request, offsets in requests.values():
            topics = [*request.topics, *request.forgotten_topics_data]
            names = {each.topic for each in topics} | {partition.topic for partition in offsets}
            ids = {name: self.topic_id(name) for name in names}
            if None in ids.values():
                continue
            for each in topics:
                each.topic_id = ids[each.topic]
            request._max_version = _FETCH_BY_ID
        return requests

    def ask_for_unknown_ends(self) -> None:
        """Ask for all partitions anew where an end that the broker has told is not known.

        A broker leaves out what has not changed, while the library drops the end of a partition
        that it loses: an empty one that comes back had no end. To keep the end was rejected: it may
        lie behind what others have read meanwhile.
        """
        for partition in self._fetchable_partitions():
            node = self._select_read_replica(partition)
            session = self._session_handlers.get(node)
            unknown = self._subscriptions.assignment[partition].highwater is None
            if unknown and session and node not in self._nodes_with_pending_fetch_requests:
                session.next_metadata = session.next_metadata.next_close_existing()

    def _handle_fetch_response(
        self, node_id: int, fetch_offsets: Any, send_time: float, response: Any
    ) -> None:
        names = {self.topic_id(each.topic): each.topic for each in fetch_offsets}
        by_id = response.API_VERSION >= _FETCH_BY_ID
        for topic in response.responses:
            if by_id:
                topic.topic = names[topic.topic_id]
            if not by_id or any(each.error_code in _OTHER_TOPIC for each in topic.partitions):
                self.doubt = True  # before the records can be seen
        super()._handle_fetch_response(node_id, fetch_offsets, send_time, response)

    def _parse_fetched_data(self, fetch: Any) -> Any:
        partition = Partition(*fetch.topic_partition)
        try:
            parsed = super()._parse_fetched_data(fetch)
        except (AuthorizationError, OffsetOutOfRangeError, MemoryError):
            raise
        except Exception as error:
            raise UnreadableBatch(partition, fetch.fetched_offset, None, _told(error)) from error
        if parsed is not None:
            parsed.whole_until = self.ends.get(partition)
            parsed.log_end = fetch.partition_data.high_watermark
        return parsed

    def _on_partition_records_drain(self, records: Any) -> None:
        if records.whole:
            self.ends[Partition(*records.topic_partition)] = records.next_fetch_offset
        super()._on_partition_records_drain(records)


class _Records(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python is untyped
    """The records of one partition in one answer; says where they cannot be read."""

    pass_over = False
    next_fetch_offset: int
    whole = False
    """Whether all batches of the answer were read."""
    whole_until: int | None = None
    log_end = 0

    def _unpack_records(self, tp: Any, records: Any, *deserializers: Any) -> Iterator[Any]:
        seen = _Seen(self, records)
        try:
            yield from super()._unpack_records(tp, seen, *deserializers)
        except MemoryError:  # says nothing about the batch
            raise
        except Exception as error:
            raw, first, last = seen.raw, self.next_fetch_offset, _last_offset(seen)
            why = _told(error)
            # Without this the next poll would ask this generator again, which has ended.
            self.drain()
            if not self.pass_over or last is None or last < first:
                raise UnreadableBatch(Partition(*tp), first, last, why) from error
            # The other batches of the answer are fetched again. An unread end of a transaction
            # would make the library take the next one of its producer for aborted.
            self.next_fetch_offset = last + 1
            yield PassedOver(
                tp.topic,
                tp.partition,
                offset=last,
                timestamp=seen.batch.max_timestamp,
                value=bytes(raw),
                headers=((UNREADABLE_HEADER, f"{first}-{last}".encode()),),
                why=why,
            )


class _PassingRecords(_Records):
    pass_over = True


class _Seen:
    """Batches of an answer; keeps the one that was given last, and its bytes.

    No checksum covers the offset of a batch. A wrong one would lose records, or give them twice.
    """

    def __init__(self, answer: _Records, records: Any) -> None:
        self.records = records
        self.batch: Any = None
        self.raw: Any = None
        self.answer = answer
        self.due = answer.next_fetch_offset
        # In the middle of a batch, where a reader may have begun, nobody knows where it begins.
        self.inside = answer.whole_until != self.due

    def next_batch(self) -> Any:
        self.batch, self.raw = None, self.records._next_slice
        batch = self.records.next_batch()
        if isinstance(batch, DefaultRecordBatch):
            batch = self.placed(batch)
        self.batch = batch
        self.answer.whole = batch is None
        return batch

    def placed(self, batch: Any) -> Any:
        """The batch, or None where it is to be fetched again. Raises CorruptRecordError."""
        first, last, due = batch.base_offset, batch.last_offset, self.due
        if first < due and not self.inside:
            raise CorruptRecordError("its offsets reach into the batch before")
        if following := self.records._next_slice:
            if int.from_bytes(following[:_OFFSET_BYTES]) <= last:
                self.batch = batch
                raise CorruptRecordError("its offsets reach into the next batch")
        elif first > due:
            # A gap is sound where a log was compacted, or where its batches were removed.
            if last >= self.answer.log_end:
                raise CorruptRecordError("its offsets reach past the end of the log")
            if due > self.answer.fetch_offset:
                return None  # as the first of the next answer it comes with the batch behind it
        self.due, self.inside = last + 1, False
        return batch


def _last_offset(seen: _Seen) -> int | None:
    """The last offset of the batch that was given last; None where damage may have changed it.

    A wrong end would pass over sound records. So two numbers of the batch's header must agree, or
    a sound batch behind it must tell. Most damage changes one place.
    """
    batch = seen.batch
    if not isinstance(batch, DefaultRecordBatch):
        return None
    following = seen.records.next_batch() if seen.records.has_next() else None
    before = None
    if isinstance(following, DefaultRecordBatch) and following.validate_crc():
        before = int(following.base_offset) - 1
    if batch.records_count != batch.last_offset_delta + 1:
        return before
    last = int(batch.last_offset)
    return None if before is not None and before < last else last


def _told(error: Exception) -> str:
    # Errors of the library name themselves.
    text = str(error) if isinstance(error, KafkaError) else f"{type(error).__name__}: {error}"
    return text.rstrip(": ")
