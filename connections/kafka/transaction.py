"""Transactions of messages and offsets, on a thread of their own.

Some waits of kafka-python in transactions never end, so that no other thread may make these calls.
The engine uses `TransactionThread`, which reports each result by a call, for its poll thread must
not wait. The feed uses `BlockingTransactions`, which waits for each result up to a deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from types import MappingProxyType
from typing import Any, TypeVar

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from kaption.connections.kafka.internals import discard
from kaption.connections.kafka.messages import Message, Partition, Withdrawal

T = TypeVar("T")
Sent = tuple[str, Message | Withdrawal]
"""A topic (its name on the broker), and what goes to it. An `Outgoing` is one."""
_CLOSE_S = 5.0
_NONE: Mapping[str, str] = MappingProxyType({})
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


@dataclass(frozen=True, slots=True)
class Opened:
    """The producer is open: nothing of an earlier one can be committed any more."""

    committed: Any
    """What `read_committed` returned after that."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The transaction is committed."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker did not take all messages, or not the offsets; nothing is or will be committed.

    Never use this producer again. What was refused is missing in its sequence. kafka-python 3.0.12
    also keeps refused offsets and commits them with the next transaction, even those of partitions
    that another member has meanwhile.
    """

    error: Exception
    too_large: Sequence[int] = ()
    """Indices of the messages that were refused for their size."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody here knows whether the transaction is committed, or no producer could be opened.

    Never use this producer again. Only the offsets that are committed after another one is open
    tell what became of the transaction.
    """

    error: Exception


Result = Opened | Committed | Refused | Unknown


class TransactionThread:
    """One transactional producer, and the only thread that waits for it.

    The caller enforces deadlines: past one it calls `abandon` and makes another TransactionThread.
    An abandoned one reports nothing more. It is a daemon: the library may never let go of it.
    """

    def __init__(self, name: str, done: Callable[[TransactionThread, Result], None]) -> None:
        """`done` gets each result, on this thread."""
        self._done = done
        self._work: SimpleQueue[Callable[[], Result] | None] = SimpleQueue()
        self._producer: Any = None
        self._abandoned = False
        self._thread = Thread(target=self._run, name=f"{name}-transaction", daemon=True)
        self._thread.start()

    def open(self, make_producer: Callable[[], Any], read_committed: Callable[[], object]) -> None:
        """Make the producer, fence its predecessor, then read what that one committed.

        Reports Opened or Unknown.
        """

        def work() -> Result:
            producer = self._producer = make_producer()
            if self._abandoned:
                # `abandon` may have come too early to see this producer. Opened now, it would
                # fence the one that took its place.
                discard(producer, _CLOSE_S)
                return Unknown(KafkaError("abandoned before it was open"))
            producer.init_transactions()
            return Opened(read_committed())

        self._work.put(work)

    def commit(
        self,
        messages: Sequence[Sent],
        offsets: Mapping[Partition, int],
        group: Any,
        metadata: Mapping[str, str] = _NONE,
    ) -> None:
        """Run one transaction. Reports Committed, Refused or Unknown.

        `offsets` are the next ones to read, if any; the broker keeps the `metadata` of their topic,
        if it has any, beside each of them.
        `group` is the consumer's group metadata, or the name of a group without members.
        """
        positions = {
            TopicPartition(*partition): OffsetAndMetadata(
                offset, metadata.get(partition.topic, ""), -1
            )
            for partition, offset in offsets.items()
        }
        self._work.put(lambda: self._commit(messages, positions, group))

    def abandon(self) -> None:
        """Stop using this producer, without waiting for anything."""
        self._abandoned = True
        self._work.put(None)
        producer = self._producer
        if producer is not None:
            Thread(target=discard, args=(producer, _CLOSE_S), daemon=True).start()

    def close(self, timeout_s: float) -> None:
        """End the thread and close the producer, after what is queued; waits for both."""
        self._abandoned = True
        self._work.put(None)
        self._thread.join(timeout_s)
        if self._producer is None:
            return
        if self._thread.is_alive():
            discard(self._producer, 0)
        else:
            self._producer.close(timeout=timeout_s)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - every failure here leaves the outcome open
                result = Unknown(error)
            if not self._abandoned:
                self._done(self, result)

    def _commit(
        self,
        messages: Sequence[Sent],
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        group: Any,
    ) -> Result:
        producer = self._producer
        producer.begin_transaction()
        try:
            futures = [
                producer.send(
                    topic, value=message.value, key=message.key, headers=list(message.headers)
                )
                for topic, message in messages
            ]
            # All must be with the broker before the end is sent: kafka-python 3.0.12 can commit a
            # transaction of which a batch has failed, and its records would be lost.
            producer.flush()
            if failed := [future.exception for future in futures if not future.succeeded()]:
                errors = enumerate(future.exception for future in futures)
                too_large = [index for index, error in errors if isinstance(error, _TOO_LARGE)]
                return Refused(failed[0] or KafkaError("not delivered"), too_large)
            if offsets:
                producer.send_offsets_to_transaction(offsets, group)
        except KafkaError as error:
            return Refused(error)
        producer.commit_transaction()
        return Committed()


class BlockingTransactions:
    """Transactions for a caller that waits for each, one TransactionThread after the other."""

    def __init__(self, name: str, deadline_s: float) -> None:
        """`deadline_s`: for one transaction; an opening, which reads too, may take twice that."""
        self._name = name
        self._deadline_s = deadline_s
        self._thread: TransactionThread | None = None
        self._results: SimpleQueue[Result] = SimpleQueue()

    def open(self, make_producer: Callable[[], Any], read_committed: Callable[[], T]) -> T:
        """Leave the present producer behind, open another, return what `read_committed` returns.

        Raises what `make_producer` and `read_committed` raise, KafkaError, or TimeoutError.
        """
        self.abandon()
        # A queue for each thread: an abandoned one may still report what it was at just then.
        results: SimpleQueue[Result] = SimpleQueue()
        self._results = results
        self._thread = TransactionThread(self._name, lambda _, result: results.put(result))
        self._thread.open(make_producer, read_committed)
        result = self._wait(2 * self._deadline_s, "opening a producer")
        if not isinstance(result, Opened):
            assert not isinstance(result, Committed)
            self.abandon()
            raise result.error
        committed: T = result.committed
        return committed

    def commit(
        self,
        messages: Sequence[Sent],
        offsets: Mapping[Partition, int],
        group: Any,
        metadata: Mapping[str, str] = _NONE,
    ) -> Committed | Refused | Unknown:
        """Run one transaction as `TransactionThread.commit`, after `open`; its result.

        After any other result than Committed the producer is left behind: call `open` again.
        """
        assert self._thread is not None
        self._thread.commit(messages, offsets, group, metadata)
        result = self._wait(self._deadline_s, "a transaction")
        assert not isinstance(result, Opened)
        if not isinstance(result, Committed):
            self.abandon()
        return result

    def abandon(self) -> None:
        """Leave the producer behind, without waiting."""
        if self._thread is not None:
            self._thread.abandon()
            self._thread = None

    def close(self) -> None:
        """End the connections of a producer without error."""
        if self._thread is not None:
            self._thread.close(_CLOSE_S)
            self._thread = None

    def _wait(self, timeout_s: float, what: str) -> Result:
        try:
            return self._results.get(timeout=timeout_s)
        except Empty:
            return Unknown(TimeoutError(f"{what} took longer than {timeout_s:g} s"))
