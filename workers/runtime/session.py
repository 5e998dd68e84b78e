"""One member of the stage's consumer group: its consumer and its producer."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any, ClassVar

import structlog
from kafka import TopicPartition
from kafka.coordinator.base import MemberState
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, UnknownMemberIdError

from kaption.connections.kafka.access import denial
from kaption.connections.kafka.clients import make_consumer, make_producer
from kaption.connections.kafka.messages import Partition
from kaption.connections.kafka.transaction import Result, TransactionThread
from kaption.connections.settings import KafkaConnection
from kaption.workers.runtime.entry import Consumed
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.rebalance import Ownership, RebalanceListener

_log = structlog.get_logger(__name__)
_CLOSE_GRACE_S = 2.0


class Session:
    """Belongs to the poll thread, except where a method says otherwise.

    The consumer outlives its producers: it reconnects by itself, while a producer whose commit was
    lost is never used again.
    """

    errors: ClassVar[type[Exception]] = KafkaError
    """What its methods raise."""

    def __init__(
        self,
        connection: KafkaConnection,
        group: str,
        topics: Collection[str],
        transactional_id: str,
        policy: RuntimePolicy,
        pause_new: bool,
    ) -> None:
        """Open the consumer and subscribe. Raises KafkaError when no broker answers."""
        self._connection = connection
        self._group = group
        self._topics = sorted(topics)
        self._transactional_id = transactional_id
        self._policy = policy
        self._producer: TransactionThread | None = None
        self._pause_new = pause_new
        self._members: dict[Partition, str] = {}
        self.ownership = Ownership(self._assigned)
        self.consumer = self._make_consumer()

    def replace_consumer(self) -> None:
        """Leave a consumer behind that does not work any more; nothing is ours then."""
        self._listener.leave()
        self.ownership.forget()
        self._start_closing()  # waits for the broker, so not here
        self.consumer = self._make_consumer()

    def poll(self, timeout_s: float, max_records: int) -> Mapping[Partition, Sequence[Consumed]]:
        """New records; also drives rebalances, so it is called while everything is paused."""
        _release_parked(self.consumer)
        _go_on_joining(self.consumer)
        records: Mapping[Partition, Sequence[Consumed]] = self.consumer.poll(
            timeout_ms=round(timeout_s * 1000), max_records=max_records
        )
        if self._outlived():
            raise UnknownMemberIdError("partitions were kept from a membership that has ended")
        return records

    def pause_only(self, wanted: Collection[Partition]) -> None:
        """Pause these partitions of ours and resume the rest."""
        owned = self.consumer.assignment()
        paused = self.consumer.paused()
        if pause := [tp for tp in owned if tp in wanted and tp not in paused]:
            self.consumer.pause(*pause)
        if resume := [tp for tp in paused if tp in owned and tp not in wanted]:
            self.consumer.resume(*resume)

    def seek(self, partition: Partition, offset: int) -> None:
        """Read from `offset` on."""
        self.consumer.seek(TopicPartition(*partition), offset)

    def group_metadata(self) -> Any | None:
        """What fences a stale generation; none while we are no member.

        The broker checks nothing of a transactional commit without member id and generation (they
        are how clients from before KIP-447 look), so such metadata must never be sent.
        """
        metadata = self.consumer.group_metadata()
        joined = metadata.generation_id >= 0 and metadata.member_id
        return metadata if joined and not self._outlived() else None

    @property
    def joining(self) -> bool:
        """A rebalance is under way, or we are no member yet."""
        return self.consumer.group_metadata().state is not MemberState.STABLE

    def open_producer(
        self,
        partitions: Collection[Partition],
        done: Callable[[TransactionThread, Result], None],
    ) -> TransactionThread:
        """Leave the present producer behind and open another; read stable offsets after it."""
        self.abandon_producer()
        self._producer = TransactionThread(self._transactional_id, done)
        self._producer.open(
            lambda: make_producer(
                self._connection, self._transactional_id, self._transactional_id, self._policy
            ),
            lambda: self.committed(partitions, self._policy.rebuild_attempt_s),
        )
        return self._producer

    def abandon_producer(self) -> None:
        """Stop using the producer without waiting for it."""
        if self._producer is not None:
            self._producer.abandon()
            self._producer = None

    def committed(
        self, partitions: Collection[Partition], timeout_s: float
    ) -> dict[Partition, int | None]:
        """Stable committed offsets; none where nothing was ever committed. Any thread.

        With read_committed the broker answers UNSTABLE_OFFSET_COMMIT while a transaction is open
        on them, and the client asks again. Raises KafkaTimeoutError.
        """
        _forget_offset_fetches(self.consumer)
        deadline = time.monotonic() + timeout_s
        offsets: dict[Partition, int | None] = {}
        for partition in partitions:
            left_ms = max(1, round((deadline - time.monotonic()) * 1000))
            try:
                with _told_when_closed():
                    offsets[partition] = self.consumer.committed(
                        TopicPartition(*partition), timeout_ms=left_ms
                    )
            except KafkaTimeoutError as error:
                raise KafkaTimeoutError(
                    f"no stable offset of {partition.topic}/{partition.partition} is committed for "
                    f"{self._group}: the broker does not answer, or a transaction hangs "
                    "(`kafka-transactions.sh find-hanging` and `abort`)"
                ) from error
        return offsets

    def log_start(self, partition: Partition, timeout_s: float) -> int:
        """The first offset that is still kept. Any thread. Raises KafkaError."""
        topic_partition = TopicPartition(*partition)
        with _told_when_closed():
            offsets = self.consumer.beginning_offsets(
                [topic_partition], timeout_ms=round(timeout_s * 1000)
            )
        return int(offsets[topic_partition])

    def position(self, partition: Partition) -> int | None:
        """The next offset to read, where known without asking."""
        try:
            position: int | None = self.consumer.position(TopicPartition(*partition), timeout_ms=0)
        except KafkaError:
            return None
        return position

    def lag(self) -> dict[Partition, int]:
        """Records behind the end, where a fetch has told it."""
        lags: dict[Partition, int] = {}
        for topic_partition in self.consumer.assignment():
            high = self.consumer.highwater(topic_partition)
            at = self.position(Partition(*topic_partition))
            if high is not None and at is not None:
                lags[Partition(*topic_partition)] = max(0, high - at)
        return lags

    def told(self, error: BaseException) -> str:
        """An error as it is to be read: the right that is missing, where it is one."""
        return denial(self._connection, error) or repr(error)

    def close(self, timeout_s: float) -> None:
        """Leave the group and close both clients; what hangs is left behind, by daemon threads."""
        if self._producer is not None:
            self._producer.close(timeout_s)
        closing = self._start_closing(timeout_ms=round(timeout_s * 1000))
        # The consumer keeps to its time-out only while its I/O thread runs.
        closing.join(timeout_s + _CLOSE_GRACE_S)
        if closing.is_alive():
            _log.warning("consumer left behind: it does not close", group=self._group)

    def _start_closing(self, **limits: int) -> Thread:
        thread = Thread(target=_close, args=(self.consumer,), kwargs=limits, daemon=True)
        thread.start()
        return thread

    def _make_consumer(self) -> Any:
        consumer = make_consumer(
            self._connection, self._group, self._transactional_id, self._policy
        )
        self._listener = RebalanceListener(self.ownership)
        consumer.subscribe(topics=self._topics, listener=self._listener)
        return consumer

    def _outlived(self) -> bool:
        """Whether something of ours was assigned to the member that we were before.

        Somebody else may have had it since. kafka-python 3.0.12 keeps what it owns, and where it
        is in it, when it is thrown out of the group in the middle of a rebalance.
        """
        member = self.consumer.group_metadata().member_id
        return bool(member) and any(
            self._members.get(partition) != member for partition in self.ownership.owned
        )

    def _assigned(self, partitions: Collection[TopicPartition]) -> None:
        member = self.consumer.group_metadata().member_id
        self._members |= {Partition(*partition): member for partition in partitions}
        _forget_offset_fetches(self.consumer)
        if self._pause_new:
            self.consumer.pause(*partitions)


def _close(consumer: Any, **limits: int) -> None:
    try:
        consumer.close(autocommit=False, **limits)
    except Exception as error:  # noqa: BLE001 - it is not used any more, whatever went wrong
        _log.warning("consumer not closed in order", error=repr(error))


@contextmanager
def _told_when_closed() -> Iterator[None]:
    """A consumer that another thread has closed meanwhile fails like one that lost its broker."""
    try:
        yield
    except RuntimeError as error:
        raise KafkaConnectionError(f"the consumer was closed: {error}") from error


def _forget_offset_fetches(consumer: Any) -> None:
    """Have committed offsets asked for anew.

    kafka-python 3.0.12 keeps the request of a call that timed out, and gives its answer, however
    old, to the next call for the same partitions: what was committed since would be done again.
    """
    consumer._coordinator._offset_fetch_futures.clear()


def _go_on_joining(consumer: Any) -> None:
    """Have a rebalance ended that has begun.

    kafka-python 3.0.12 begins one where the partitions of a topic have changed, and looks at that
    again in every poll. The leader takes note of them as soon as it assigns: if the poll ends
    before the answer to that is there, none ever waits for it. The member then stays in its
    rebalance, without a heartbeat, and the group has lost it.
    """
    coordinator = consumer._coordinator
    if coordinator.rebalance_in_progress():
        coordinator.request_rejoin()


def _release_parked(consumer: Any) -> None:
    """Let records of resumed partitions through.

    kafka-python 3.0.12 parks what it has fetched of a paused partition and takes it up again only
    where `_next_partition_records` is None. A drained one is not: then a resumed partition is
    neither read from what is parked nor fetched again, until some other partition has new records.
    There is no public way around it but never to pause.
    """
    fetcher = consumer._fetcher
    if not fetcher._next_partition_records:
        fetcher._next_partition_records = None
