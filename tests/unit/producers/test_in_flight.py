"""Room and deadlines of messages that wait for their acknowledgement."""

import threading

import pytest

from kaption.connections.kafka.messages import Message
from kaption.producers.errors import BufferFullError, DeliveryError
from kaption.producers.sending.in_flight import InFlight

MESSAGE = Message(b"x" * 488)  # 1000 bytes with what it takes besides


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_delivered_message_makes_room() -> None:
    in_flight = InFlight(max_bytes=2_000, timeout_s=60)
    first = in_flight.admit(MESSAGE, 0)
    in_flight.admit(MESSAGE, 0)

    with pytest.raises(BufferFullError, match="2000 bytes wait"):
        in_flight.admit(MESSAGE, 0)
    in_flight.delivered(first)

    in_flight.admit(MESSAGE, 0)


def test_a_message_larger_than_the_buffer_goes_alone() -> None:
    in_flight = InFlight(max_bytes=10, timeout_s=60)

    in_flight.admit(MESSAGE, 0)

    with pytest.raises(BufferFullError):
        in_flight.admit(MESSAGE, 0)


def test_failures_take_room_until_they_are_reported() -> None:
    in_flight = InFlight(max_bytes=1_000, timeout_s=60)
    error = RuntimeError("refused")
    in_flight.failed(in_flight.admit(MESSAGE, 0), error)

    with pytest.raises(DeliveryError, match="no key: refused") as failed:
        in_flight.admit(MESSAGE, 60)

    assert [(each.message, each.error) for each in failed.value.failures] == [(MESSAGE, error)]
    in_flight.delivered(in_flight.admit(MESSAGE, 0))
    in_flight.settle()


def test_each_failure_is_reported_once() -> None:
    in_flight = InFlight(max_bytes=10_000, timeout_s=60)
    in_flight.failed(in_flight.admit(MESSAGE, 0), RuntimeError("refused"))

    with pytest.raises(DeliveryError):
        in_flight.settle()

    in_flight.settle()


def test_an_overdue_message_has_failed_and_a_later_answer_changes_nothing(clock: Clock) -> None:
    in_flight = InFlight(max_bytes=10_000, timeout_s=60, clock=clock)
    number = in_flight.admit(MESSAGE, 0)
    clock.now = 61

    with pytest.raises(DeliveryError, match="no acknowledgement for 60 s"):
        in_flight.settle()

    in_flight.delivered(number)
    in_flight.settle()


def test_waiting_ends_when_the_other_thread_is_answered() -> None:
    in_flight = InFlight(max_bytes=1_000, timeout_s=60)
    number = in_flight.admit(MESSAGE, 0)
    answer = threading.Timer(0.05, in_flight.delivered, [number])
    answer.start()

    second = in_flight.admit(MESSAGE, max_block_s=60)

    answer.join()
    assert second == number + 1


def test_settling_waits_only_for_messages_admitted_before() -> None:
    in_flight = InFlight(max_bytes=10_000, timeout_s=60)
    before = in_flight.admit(MESSAGE, 0)
    settled = threading.Thread(target=in_flight.settle)
    settled.start()
    in_flight.admit(MESSAGE, 0)

    in_flight.delivered(before)

    settled.join(timeout=30)
    assert not settled.is_alive()


@pytest.mark.slow
def test_leaving_gives_up_when_nothing_is_acknowledged_any_more() -> None:
    # Given three messages, one of which is acknowledged a moment later
    in_flight = InFlight(max_bytes=10_000, timeout_s=60)
    first, *_ = [in_flight.admit(MESSAGE, 0) for _ in range(3)]
    threading.Timer(0.1, in_flight.delivered, [first]).start()
    # When the publisher waits with little patience
    with pytest.raises(DeliveryError, match=r"nothing was acknowledged for 0\.3 s") as failed:
        in_flight.settle(patience_s=0.3)
    # Then the others have failed, each once
    assert len(failed.value.failures) == 2
    in_flight.settle(patience_s=0.3)
