"""What a transaction's caller is told, and what becomes of a producer that is left behind."""

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, MessageSizeTooLargeError

from kaption.connections.kafka.messages import Message, Outgoing, Partition
from kaption.connections.kafka.transaction import (
    BlockingTransactions,
    Committed,
    Opened,
    Refused,
    Result,
    TransactionThread,
    Unknown,
)

LIMIT_S = 60.0
"""What takes no time otherwise, on a busy machine."""
MESSAGES = [
    Outgoing("topic", Message(b"a", b"key", (("name", b"x"),))),
    Outgoing("b", Message(b"")),
]
OFFSETS = {Partition("input", 3): 7}


class Producer:
    """Notes its calls; `at` may raise or wait in a call of that name."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.at: dict[str, Callable[[], Any]] = {}
        self.errors: list[Exception | None] = [None, None]
        self.sent: list[tuple[Any, ...]] = []
        self.offsets: Any = None
        self.closed = threading.Event()
        self._transaction_manager = None
        self._sender = SimpleNamespace(force_close=lambda: self._call("force_close"))

    def _call(self, name: str) -> None:
        self.calls.append(name)
        self.at.get(name, lambda: None)()

    def init_transactions(self) -> None:
        self._call("init")

    def begin_transaction(self) -> None:
        self._call("begin")

    def send(self, topic: str, value: Any, key: Any, headers: Any) -> Any:
        error = self.errors[len(self.sent)]
        self.sent.append((topic, value, key, headers))
        return SimpleNamespace(exception=error, succeeded=lambda: error is None)

    def flush(self) -> None:
        self._call("flush")

    def send_offsets_to_transaction(self, offsets: Any, group: Any) -> None:
        self.offsets = offsets, group
        self._call("offsets")

    def commit_transaction(self) -> None:
        self._call("commit")

    def close(self, timeout: float) -> None:
        self._call("close")
        self.closed.set()


@pytest.fixture
def producer() -> Producer:
    return Producer()


@pytest.fixture
def results() -> SimpleQueue[Result]:
    return SimpleQueue()


@pytest.fixture
def thread(results: SimpleQueue[Result]) -> Iterator[TransactionThread]:
    made = TransactionThread("test", lambda _, result: results.put(result))
    yield made
    made.abandon()


def opened(
    thread: TransactionThread, producer: Producer, results: SimpleQueue[Result]
) -> TransactionThread:
    thread.open(lambda: producer, lambda: "read")
    assert results.get(timeout=LIMIT_S) == Opened("read")
    return thread


def fail(error: Exception) -> Callable[[], None]:
    def raising() -> None:
        raise error

    return raising


def test_messages_are_with_the_broker_before_the_offsets_and_the_end(
    thread: TransactionThread, producer: Producer, results: SimpleQueue[Result]
) -> None:
    opened(thread, producer, results).commit(MESSAGES, OFFSETS, "group", {"input": "cursor"})

    assert results.get(timeout=LIMIT_S) == Committed()
    assert producer.calls == ["init", "begin", "flush", "offsets", "commit"]
    assert producer.sent == [("topic", b"a", b"key", [("name", b"x")]), ("b", b"", None, [])]
    offsets = {TopicPartition("input", 3): OffsetAndMetadata(7, "cursor", -1)}
    assert producer.offsets == (offsets, "group")


def test_a_refused_message_is_named_and_nothing_is_committed(
    thread: TransactionThread, producer: Producer, results: SimpleQueue[Result]
) -> None:
    error = MessageSizeTooLargeError("too large")
    producer.errors[1] = error

    opened(thread, producer, results).commit(MESSAGES, OFFSETS, "group")

    assert results.get(timeout=LIMIT_S) == Refused(error, [1])
    assert "commit" not in producer.calls


def test_refused_offsets_commit_nothing(
    thread: TransactionThread, producer: Producer, results: SimpleQueue[Result]
) -> None:
    error = KafkaError("stale generation")
    producer.at["offsets"] = fail(error)

    opened(thread, producer, results).commit(MESSAGES, OFFSETS, "group")

    assert results.get(timeout=LIMIT_S) == Refused(error)
    assert "commit" not in producer.calls


def test_a_commit_that_fails_has_an_unknown_outcome(
    thread: TransactionThread, producer: Producer, results: SimpleQueue[Result]
) -> None:
    error = KafkaError("no answer")
    producer.at["commit"] = fail(error)

    opened(thread, producer, results).commit(MESSAGES, OFFSETS, "group")

    assert results.get(timeout=LIMIT_S) == Unknown(error)


def test_an_abandoned_producer_is_closed_without_sending_and_reports_nothing(
    thread: TransactionThread, producer: Producer, results: SimpleQueue[Result]
) -> None:
    # Given a commit that waits for a broker
    waiting, released = threading.Event(), threading.Event()

    def wait() -> None:
        waiting.set()
        released.wait(LIMIT_S)

    producer.at["commit"] = wait
    opened(thread, producer, results).commit(MESSAGES, OFFSETS, "group")
    assert waiting.wait(LIMIT_S)
    # When its caller waits no longer, and the broker answers after that
    thread.abandon()
    assert producer.closed.wait(LIMIT_S)
    released.set()
    thread._thread.join(LIMIT_S)
    # Then nobody is told
    assert results.empty()
    assert producer.calls[-2:] == ["force_close", "close"]


def test_a_producer_made_after_its_thread_was_abandoned_fences_nobody(
    thread: TransactionThread, producer: Producer, results: SimpleQueue[Result]
) -> None:
    # Given a producer that takes long to reach a broker
    connecting, released = threading.Event(), threading.Event()

    def make() -> Producer:
        connecting.set()
        released.wait(LIMIT_S)
        return producer

    thread.open(make, lambda: "read")
    assert connecting.wait(LIMIT_S)
    # When it is there at last, but no longer wanted
    thread.abandon()
    released.set()
    # Then it is closed before it could fence its successor
    assert producer.closed.wait(LIMIT_S)
    assert "init" not in producer.calls


@pytest.mark.slow
def test_a_caller_that_waits_is_told_after_its_deadline_and_opens_another(
    producer: Producer,
) -> None:
    # Given a commit that never ends
    released = threading.Event()
    producer.at["commit"] = lambda: released.wait(30)
    transactions = BlockingTransactions("test", deadline_s=1.0)
    assert transactions.open(lambda: producer, lambda: "read") == "read"
    # When the deadline is over
    result = transactions.commit(MESSAGES, OFFSETS, "group")
    # Then the outcome is unknown, the producer is left behind, and another one works
    assert isinstance(result, Unknown)
    assert str(result.error) == "a transaction took longer than 1 s"
    assert producer.closed.wait(LIMIT_S)
    another = Producer()
    transactions.open(lambda: another, lambda: None)
    released.set()
    assert transactions.commit(MESSAGES, OFFSETS, "group") == Committed()
    transactions.close()
    assert another.calls[-1] == "close"
    assert "force_close" not in another.calls


def test_what_fails_while_opening_is_raised(producer: Producer) -> None:
    transactions = BlockingTransactions("test", deadline_s=LIMIT_S)
    producer.at["init"] = fail(KafkaError("fenced"))

    with pytest.raises(KafkaError, match="fenced"):
        transactions.open(lambda: producer, lambda: None)

    assert producer.closed.wait(LIMIT_S)


@pytest.mark.slow
def test_an_opening_that_never_ends_is_given_up() -> None:
    released = threading.Event()
    transactions = BlockingTransactions("test", deadline_s=0.1)

    with pytest.raises(TimeoutError, match=r"opening a producer took longer than 0\.2 s"):
        transactions.open(lambda: released.wait(30), lambda: None)

    released.set()
