"""Transactions on a thread of their own, because the library's waits can last for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from kaption.connections.kafka.messages import Outgoing, Partition

_CLOSE_TRIES = 300
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


@dataclass(frozen=True, slots=True)
class Opened:
    """init_transactions returned: nothing of an earlier producer can be committed any more."""

    committed: Mapping[Partition, int | None]


@dataclass(frozen=True, slots=True)
class Committed:
    """The transaction is committed."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker did not take all messages or the offsets, so the transaction was not ended.

    Nothing of it is or will be committed. The producer is not to be used again: what was refused is
    missing in its sequence, and kafka-python 3.0.12 keeps refused offsets and commits them with the
    next transaction, also those of partitions that went to somebody else meanwhile.
    """

    error: Exception
    too_large: Sequence[int] = ()
    """Indices of the messages that were refused for their size."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody here knows whether the transaction is committed, or no producer could be opened."""

    error: Exception


Result = Opened | Committed | Refused | Unknown


class TransactionThread:
    """One transactional producer and the only thread that waits for it.

    The caller enforces deadlines: past one it leaves this thread behind with `abandon` and makes
    another. A result of an abandoned thread is not delivered. Closing a producer does not free a
    thread that waits in its commit, so an abandoned one may stay until the process ends.
    """

    def __init__(self, name: str, done: Callable[[TransactionThread, Result], None]) -> None:
        self._done = done
        self._work: SimpleQueue[Callable[[], Result] | None] = SimpleQueue()
        self._producer: Any = None
        self._abandoned = False
        self._thread = Thread(target=self._run, name=f"{name}-transaction", daemon=True)
        self._thread.start()

    def open(
        self,
        make_producer: Callable[[], Any],
        read_committed: Callable[[], Mapping[Partition, int | None]],
    ) -> None:
        """Make the producer, fence its predecessor, read what that one committed."""

        def work() -> Result:
            self._producer = make_producer()
            self._producer.init_transactions()
            return Opened(read_committed())

        self._work.put(work)

    def commit(
        self, messages: Sequence[Outgoing], offsets: Mapping[Partition, int], group: Any
    ) -> None:
        """Run one transaction; `offsets` are the next ones to read, `group` the metadata."""
        self._work.put(lambda: self._commit(messages, offsets, group))

    def abandon(self) -> None:
        """Stop using this producer, without waiting for anything."""
        self._abandoned = True
        self._work.put(None)
        producer = self._producer
        if producer is not None:
            Thread(target=_close_abandoned, args=(producer,), daemon=True).start()

    def close(self, timeout_s: float) -> None:
        """End the thread and close the producer, after what is queued."""
        self._abandoned = True
        self._work.put(None)
        self._thread.join(timeout_s)
        if self._producer is not None:
            self._producer.close(timeout=0 if self._thread.is_alive() else timeout_s)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - every failure here leaves the outcome open
                result = Unknown(error)
            if not self._abandoned:
                self._done(self, result)

    def _commit(
        self, messages: Sequence[Outgoing], offsets: Mapping[Partition, int], group: Any
    ) -> Result:
        producer = self._producer
        producer.begin_transaction()
        try:
            futures = [
                producer.send(
                    message.topic, message.value, key=message.key, headers=message.headers
                )
                for message in messages
            ]
            # All must be with the broker before the end is sent: kafka-python 3.0.12 can commit a
            # transaction of which a batch has failed, and its records would be lost.
            producer.flush()
            if failed := [future.exception for future in futures if not future.succeeded()]:
                return Refused(failed[0] or KafkaError("not delivered"), _too_large(futures))
            positions = {
                TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)
                for partition, offset in offsets.items()
            }
            producer.send_offsets_to_transaction(positions, group)
        except KafkaError as error:
            return Refused(error)
        producer.commit_transaction()
        return Committed()


def _too_large(futures: Sequence[Any]) -> list[int]:
    return [at for at, future in enumerate(futures) if isinstance(future.exception, _TOO_LARGE)]


def _close_abandoned(producer: Any) -> None:
    """Close as soon as that works: with messages unsent it raises until their producer is fenced,
    and its I/O thread would go on for ever.
    """
    for _ in range(_CLOSE_TRIES):
        with suppress(KafkaError):
            producer.close(timeout=0)
            return
        time.sleep(1.0)
