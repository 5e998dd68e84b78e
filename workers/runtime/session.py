"""One member of the stage's consumer group: its consumer and its producer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Thread
from typing import Any, ClassVar

from kaption.connections.errors import Fatal
from kaption.connections.kafka import offsets
from kaption.connections.kafka.access import check_access, denial
from kaption.connections.kafka.clients import group_member, transactional_producer
from kaption.connections.kafka.internals import (
    fetch_by_id,
    forget_offset_fetches,
    go_on_joining,
    release_parked,
    take_doubt,
)
from kaption.connections.kafka.library import (
    KafkaError,
    MemberState,
    TopicPartition,
    UnknownMemberIdError,
)
from kaption.connections.kafka.messages import Partition
from kaption.connections.kafka.topic_ids import TopicIds
from kaption.connections.kafka.transaction import Result, TransactionThread
from kaption.connections.settings import KafkaConnection
from kaption.schemas.limits import DEAD_MESSAGE_BYTES
from kaption.workers.runtime.backoff import Outage
from kaption.workers.runtime.entry import Consumed
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.runtime.rebalance import Ownership, RebalanceListener

_log = logging.getLogger(__name__)
_CLOSE_GRACE_S = 2.0
_LOOK_S = 5.0


class Session:
    """Belongs to the poll thread, except where a method says otherwise.

    The consumer outlives its producers. It reconnects by itself, while a producer whose commit has
    an unknown outcome is never used again.
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
    ) -> None:
        """Open the consumer and subscribe. Raises KafkaError when no broker answers.

        Partitions that are assigned start paused: see `Resumption`.
        """
        self._connection = connection
        self._group = group
        self._topics = sorted(topics)
        self._transactional_id = transactional_id
        self._policy = policy
        self._producer: TransactionThread | None = None
        self.topic_ids = TopicIds(connection, min(_LOOK_S, policy.request_timeout_s))
        self._unchecked = Outage(policy.rebuild_limit_s, time.monotonic)
        self._members: dict[Partition, str] = {}
        """The member id that this worker had when a partition was assigned, by partition."""
        self.ownership = Ownership(self._assigned)
        self.consumer = self._make_consumer()

    def replace_consumer(self) -> None:
        """Leave a consumer that fails behind and open another; we own no partition then."""
        self._listener.leave()
        self.ownership.revoked(self.ownership.owned)
        self._start_closing()  # on a thread of its own, for it waits for the broker
        self.consumer = self._make_consumer()

    def poll(self, timeout_s: float, max_records: int) -> Mapping[Partition, Sequence[Consumed]]:
        """New records. Call it also while every partition is paused, for it drives rebalances.

        Raises `UnreadableBatch`, after which the consumer goes on, other KafkaErrors, and Fatal
        where the records are of a topic that was deleted and created again.
        """
        release_parked(self.consumer)
        go_on_joining(self.consumer)
        records: Mapping[Partition, Sequence[Consumed]] = self.consumer.poll(
            timeout_ms=round(timeout_s * 1000), max_records=max_records
        )
        if self._outlived():
            raise UnknownMemberIdError("partitions were kept from a membership that has ended")
        return records if not take_doubt(self.consumer) or self._checked(records) else {}

    def pause_only(self, wanted: Collection[Partition]) -> None:
        """Pause these of our partitions and resume the others."""
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
        """What fences a stale generation in a commit; None while we are no member.

        Never commit with metadata that lacks the member id or the generation: the broker takes it
        for a client from before KIP-447, and checks nothing.
        """
        metadata = self.consumer.group_metadata()
        joined = metadata.generation_id >= 0 and metadata.member_id
        return metadata if joined and not self._outlived() else None

    @property
    def joining(self) -> bool:
        """A rebalance is under way, or we are no member yet."""
        return self.consumer.group_metadata().state is not MemberState.STABLE

    def open_producer(
        self, partitions: Collection[Partition], done: Callable[[TransactionThread, Result], None]
    ) -> TransactionThread:
        """Leave the present producer behind and open another, then read stable offsets.

        `done` gets Opened with the committed offsets of `partitions`, and later results.
        """
        self.abandon_producer()
        self._producer = TransactionThread(self._transactional_id, done)
        self._producer.open(
            self._make_producer, lambda: self.committed(partitions, self._policy.rebuild_attempt_s)
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
        """Stable committed offsets; None where none was committed for this topic id. Any thread.

        Raises KafkaTimeoutError.
        """
        return offsets.committed_offsets(self.consumer, partitions, timeout_s, self.topic_ids.known)

    def log_start(self, partition: Partition, timeout_s: float) -> int:
        """The first offset that the log still holds. Any thread. Raises KafkaError."""
        return offsets.log_start(self.consumer, partition, timeout_s)

    def written_at(self, partition: Partition, offset: int) -> float | None:
        """When a record was written that waits in the log, in seconds of Unix time. Any thread.

        None where the broker cannot tell. Raises KafkaError.
        """
        return offsets.written_at(
            self._connection, partition, offset, self._policy.request_timeout_s
        )

    def position(self, partition: Partition) -> int | None:
        """The next offset to read; None where the broker would have to be asked."""
        try:
            found: int | None = self.consumer.position(TopicPartition(*partition), timeout_ms=0)
        except KafkaError:
            return None
        return found

    def lag(self) -> dict[Partition, int]:
        """Records before the end of each of our partitions, where a fetch has told the end."""
        lags: dict[Partition, int] = {}
        for partition in map(Partition._make, self.consumer.assignment()):
            high = self.consumer.highwater(TopicPartition(*partition))
            at = self.position(partition)
            if high is not None and at is not None:
                lags[partition] = max(0, high - at)
        return lags

    @property
    def caught_up(self) -> bool:
        """Whether fetches have told that nothing is left to read in any of our partitions."""
        lags = self.lag()
        return not self.joining and all(lags.get(each) == 0 for each in self.ownership.owned)

    def unreadable_topics(self) -> str | None:
        """Why a topic cannot be read now, and what to do; None if all can. Any thread.

        Raises KafkaError if no broker answers, and Fatal where a topic was created again.
        """
        return "; ".join(self.topic_ids.check(self._topics, patient=False)) or None

    def told(self, error: BaseException) -> str:
        """An error for people: the right that is missing, where that is the cause. Any thread.

        Raises Fatal where the broker refuses us by now. A missing right raises nothing: it may have
        been granted just now and be on its way to this broker.
        """
        seen = check_access(self._connection, _LOOK_S)
        return denial(self._connection, error) or seen or repr(error)

    def close(self, timeout_s: float) -> None:
        """Leave the group and close both clients; one that hangs is left to a daemon thread."""
        if self._producer is not None:
            self._producer.close(timeout_s)
        self.topic_ids.close()
        closing = self._start_closing(timeout_ms=round(timeout_s * 1000))
        # The consumer keeps to its time-out only while its I/O thread runs.
        closing.join(timeout_s + _CLOSE_GRACE_S)
        if closing.is_alive():
            _log.warning("consumer left behind: it does not close", extra={"group": self._group})

    def _start_closing(self, **limits: int) -> Thread:
        thread = Thread(target=_close, args=(self.consumer,), kwargs=limits, daemon=True)
        thread.start()
        return thread

    def _make_consumer(self) -> Any:
        policy = self._policy
        consumer = group_member(
            self._connection,
            self._group,
            self._transactional_id,
            request_s=policy.request_timeout_s,
            session_s=policy.session_timeout_s,
            poll_interval_s=policy.max_poll_interval_s,
            pass_over=policy.pass_over_unreadable,
        )
        fetch_by_id(consumer, self.topic_ids.uuid)
        self._listener = RebalanceListener(self.ownership)
        consumer.subscribe(topics=self._topics, listener=self._listener)
        return consumer

    def _make_producer(self) -> Any:
        policy = self._policy
        return transactional_producer(
            self._connection,
            self._transactional_id,
            DEAD_MESSAGE_BYTES,
            request_s=policy.request_timeout_s,
            block_s=policy.transaction_deadline_s,
            expiry_s=policy.transaction_timeout_s,
        )

    def _checked(self, records: Mapping[Partition, Sequence[Consumed]]) -> bool:
        """Whether the records are of the topics that we know; if nobody answers, read them again.

        An error would replace the consumer, and the inference of what it holds would be repeated.
        """
        try:
            self.topic_ids.check(self._topics, patient=False)
        except KafkaError as error:
            if not self._unchecked:
                _log.warning("records wait for the topic's id", extra={"error": repr(error)})
            if self._unchecked.failed():
                raise Fatal(
                    f"the broker does not tell topic ids ({self.told(error)}): check it"
                ) from error
            for partition in records.keys() & self.consumer.assignment():
                self.seek(partition, records[partition][0].offset)
            return False
        self._unchecked.end()
        return True

    def _outlived(self) -> bool:
        """Whether we still own a partition that an earlier membership of ours was assigned.

        Another member may have had it since. kafka-python 3.0.12 keeps its partitions and its
        positions in them when it is thrown out of the group in the middle of a rebalance.
        """
        member = self.consumer.group_metadata().member_id
        return bool(member) and any(
            self._members.get(partition) != member for partition in self.ownership.owned
        )

    def _assigned(self, partitions: Collection[TopicPartition]) -> None:
        member = self.consumer.group_metadata().member_id
        self._members |= {Partition(*partition): member for partition in partitions}
        forget_offset_fetches(self.consumer)
        self.consumer.pause(*partitions)


def _close(consumer: Any, **limits: int) -> None:
    try:
        consumer.close(autocommit=False, **limits)
    except Exception as error:  # noqa: BLE001 - the consumer is left behind, whatever went wrong
        _log.warning("consumer not closed in order", extra={"error": repr(error)})
