"""The spool's messages are delivered in order, and sent again until the broker has them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from kaption.connections.kafka.messages import Message
from kaption.producers.errors import (
    BufferFullError,
    DeliveryError,
    Failure,
    PublishError,
    SpoolError,
    StillSpooledError,
    TooLargeError,
)
from kaption.producers.options import PublisherOptions
from kaption.producers.sending.sender import Sender
from kaption.producers.spool.delivery import Spooled
from kaption.producers.spool.refused import refused

pytestmark = pytest.mark.slow


def message(number: int, size: int = 5) -> Message:
    return Message(bytes(size), str(number).encode())


@dataclass
class Broker:
    """A broker that can be away, and can fail messages."""

    away: bool = False
    fail: Callable[[Message], Exception | None] = lambda _: None
    arrived: list[int] = field(default_factory=list)
    connections: int = 0
    attempts: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def connect(self) -> Sender:
        self.attempts.release()
        if self.away:
            raise PublishError("no broker answers at nowhere")
        self.connections += 1
        return cast("Sender", Connection(self))


@dataclass
class Connection:
    broker: Broker
    limit: int = 1_000_000
    failures: list[Failure] = field(default_factory=list)
    stopped: bool = False

    def send(self, message: Message) -> None:
        assert not self.stopped
        error = self.broker.fail(message)
        if isinstance(error, TooLargeError):
            raise error
        if error is not None:
            self.failures.append(Failure(message, error))
        else:
            self.broker.arrived.append(int(message.key or b"-1"))

    def flush(self) -> None:
        failures, self.failures = self.failures, []
        if failures:
            raise DeliveryError(failures)

    def stop(self) -> None:
        self.stopped = True


@contextmanager
def spooled(folder: Path, broker: Broker, patience_s: float = 30) -> Iterator[Spooled]:
    options = PublisherOptions(spool_bytes=1_000_000, max_block_s=0, delivery_timeout_s=patience_s)
    opened = Spooled(folder, options, broker.connect, limit=1_000_000)
    try:
        yield opened
    finally:
        opened.close()


def test_messages_are_delivered_in_order(tmp_path: Path) -> None:
    broker = Broker()

    with spooled(tmp_path, broker) as opened:
        for number in range(20):
            opened.send(message(number))

    assert broker.arrived == list(range(20))
    assert broker.connections == 1


def test_with_the_broker_away_messages_are_accepted_and_delivered_later(tmp_path: Path) -> None:
    broker = Broker(away=True)
    with spooled(tmp_path, broker) as opened:
        for number in range(20):
            opened.send(message(number))
        assert broker.arrived == []

        broker.away = False
        opened.flush()

        assert broker.arrived == list(range(20))


def test_messages_that_were_not_delivered_wait_for_the_next_publisher(tmp_path: Path) -> None:
    broker = Broker(away=True)
    with (
        pytest.raises(StillSpooledError, match=r"no broker answers at nowhere.*next Publisher"),
        spooled(tmp_path, broker, patience_s=0.1) as opened,
    ):
        opened.send(message(1))
    broker.away = False

    with spooled(tmp_path, broker) as opened:
        opened.send(message(2))

    assert broker.arrived == [1, 2]


def test_closing_does_not_wait_for_a_connection_that_is_being_opened(tmp_path: Path) -> None:
    broker, opening, opened = Broker(), threading.Event(), threading.Event()

    def connect() -> Sender:
        opening.wait(60)
        opened.set()
        return broker.connect()

    # Given a thread that connects, which takes as long as `connect_timeout_s`
    options = PublisherOptions(delivery_timeout_s=0.1)
    first = Spooled(tmp_path, options, connect, 1_000_000, ["the topic"])
    first.send(message(1))

    # When the spool is closed
    with pytest.raises(StillSpooledError, match=r"for 0.1 s \(the topic\)"):
        first.close()

    # Then it is closed at once, and the folder is free for the next one
    assert not opened.is_set()
    with spooled(tmp_path, broker) as second:
        second.flush()
    # And the connection sends nothing when it is open at last
    opening.set()
    first._thread.join(60)
    assert not first._thread.is_alive()
    assert broker.arrived == [1]


def test_after_a_failure_all_messages_from_there_are_sent_again(tmp_path: Path) -> None:
    broker = Broker(away=True)
    failing = [RuntimeError("lost")]
    broker.fail = lambda each: failing.pop() if each.key == b"2" and failing else None
    with spooled(tmp_path, broker) as opened:
        for number in range(5):
            opened.send(message(number))
        broker.away = False

    assert broker.arrived.count(0) == broker.arrived.count(1) == 1
    in_the_end = sorted(range(5), key=lambda number: broker.arrived[::-1].index(number))
    assert in_the_end == [4, 3, 2, 1, 0]
    assert broker.connections == 2


def test_a_message_that_is_refused_for_good_is_kept_and_reported_once(tmp_path: Path) -> None:
    broker = Broker(fail=lambda each: TooLargeError("too large") if each.key == b"1" else None)
    with spooled(tmp_path, broker) as opened:
        for number in range(3):
            opened.send(message(number))

        with pytest.raises(DeliveryError, match="1 records were not delivered: 1: too large") as e:
            opened.flush()
        opened.flush()

    assert [failure.message for failure in e.value.failures] == [message(1)]
    assert e.value.__notes__ == [f"they are kept in {tmp_path / 'refused.db'}"]
    assert list(refused(tmp_path)) == [message(1)]
    assert broker.arrived == [0, 2]


def test_a_full_spool_says_why_it_does_not_empty(tmp_path: Path) -> None:
    broker = Broker(away=True)
    with spooled(tmp_path, broker) as opened:
        opened.send(message(0))
        for _ in range(2):  # the second attempt comes after the failure of the first
            assert broker.attempts.acquire(timeout=30)
        with pytest.raises(BufferFullError, match=r"at most 1000000.*now: no broker answers"):  # noqa: PT012 - the loop fills
            for number in range(1, 1000):
                opened.send(message(number, 10_000))
        broker.away = False


def test_what_was_refused_can_be_read_while_more_is_refused(tmp_path: Path) -> None:
    broker = Broker(fail=lambda _: TooLargeError("too large"))
    with spooled(tmp_path, broker) as opened:
        opened.send(message(0))
        with pytest.raises(DeliveryError):
            opened.flush()
        reading = refused(tmp_path)
        assert next(reading) == message(0)
        opened.send(message(1))
        with pytest.raises(DeliveryError):
            opened.flush()

        assert list(reading) == [message(1)]


def test_without_refusals_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert list(refused(tmp_path)) == []


def test_damage_stops_delivery_and_every_call_says_so(tmp_path: Path) -> None:
    broker = Broker(away=True)
    with (
        pytest.raises(StillSpooledError),
        spooled(tmp_path, broker, patience_s=0.1) as first,
    ):
        first.send(message(0, 20_000))
    database = tmp_path / "messages.db"
    data = bytearray(database.read_bytes())
    data[-1000] ^= 1
    database.write_bytes(data)

    opened = Spooled(tmp_path, PublisherOptions(), broker.connect, limit=1_000_000)

    for call in (opened.flush, lambda: opened.send(message(1)), opened.close):
        with pytest.raises(SpoolError, match=r"came to a stop: .* is damaged .message 1 has"):
            call()
