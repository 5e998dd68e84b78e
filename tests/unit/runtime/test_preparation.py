"""What becomes of a record in preparation: its outcome, its tries, and what a stop leaves."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import ClassVar

import pytest

from kaption.connections.errors import Fatal, Retry
from kaption.connections.kafka.messages import Partition
from kaption.schemas import RawPair, Reason
from kaption.schemas.topics import CLEAN, RAW, Topic
from kaption.workers.runtime.backoff import Backoff, Stopped
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.preparation import Preparation
from kaption.workers.runtime.stage import Dead, Emit, Incoming, Reject
from kaption.workers.runtime.stop import StopRequest
from support.engine import POLICY, Toy
from support.entries import Consumed, entry

pytestmark = pytest.mark.slow

LIMIT_S = 20.0
Answers = SimpleQueue[tuple[Sequence[Entry], BaseException | None]]


class AtTheEnd(Toy):
    """Reads pairs.clean, as the sink does, and fails as a test says."""

    inputs: ClassVar[tuple[Topic, ...]] = (CLEAN, RAW)

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.failing: Callable[[int], None] = lambda call: None

    def prepare(self, message: Incoming[RawPair]) -> str:
        self.calls += 1
        self.failing(self.calls)
        return super().prepare(message)


class Pool:
    """A preparation and what it reports."""

    def __init__(self) -> None:
        self.stage = AtTheEnd()
        self.stop = StopRequest(time.monotonic)
        self.answers: Answers = SimpleQueue()
        backoff = Backoff(POLICY, random.Random(1), self.stop, lambda _: None)
        topics = {each.name: each for each in self.stage.inputs}
        self.preparation = Preparation(self.stage, topics, POLICY, backoff, time.monotonic)
        self.preparation.start(lambda chunk, error: self.answers.put((chunk, error)))

    def prepared(self, item: Entry) -> tuple[Entry, BaseException | None]:
        self.preparation.submit([item])
        ((answer,), error) = self.answers.get(timeout=LIMIT_S)
        return answer, error


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool()
    yield made
    made.preparation.stop()
    made.preparation.join(LIMIT_S)


def new(text: str = "text") -> Entry:
    """An entry as it is read, before anything is known of it."""
    item = entry(7, text)
    item.message = item.prepared = None
    item.ready = False
    return item


def without_value(topic: Topic) -> Entry:
    return Entry(Consumed(topic.name, 0, 7, None), Partition(topic.name, 0), 1, 0)


def test_a_record_is_decoded_and_prepared(pool: Pool) -> None:
    item, error = pool.prepared(new())
    assert (item.ready, item.outcome, item.prepared, error) == (True, None, "text", None)


def test_a_tombstone_of_a_compacted_topic_is_done_with(pool: Pool) -> None:
    item, _ = pool.prepared(without_value(CLEAN))
    assert (item.ready, item.outcome) == (True, Emit(()))


def test_an_empty_message_of_any_other_topic_is_dead(pool: Pool) -> None:
    item, _ = pool.prepared(without_value(RAW))
    assert isinstance(item.outcome, Dead)
    assert not item.unexpected


def test_what_the_stage_refuses_has_its_outcome(pool: Pool) -> None:
    rejected, _ = pool.prepared(new("reject"))
    dead, _ = pool.prepared(new("dead"))
    assert isinstance(rejected.outcome, Reject)
    assert rejected.outcome.reason is Reason.TOO_SMALL
    assert isinstance(dead.outcome, Dead)
    assert (dead.ready, dead.unexpected) == (True, False)


def test_an_error_that_nobody_expects_is_tried_again_and_then_the_record_is_dead(
    pool: Pool,
) -> None:
    def fails(call: int) -> None:
        raise KeyError("bug")

    pool.stage.failing = fails
    item, error = pool.prepared(new())
    assert error is None
    assert str(item.outcome) == "KeyError: 'bug'"
    assert (item.attempts, pool.stage.calls) == (POLICY.attempts, POLICY.attempts)
    assert item.unexpected


def test_a_server_that_is_down_costs_no_tries(pool: Pool) -> None:
    def down_five_times(call: int) -> None:
        if call <= 5:
            raise Retry("down")

    pool.stage.failing = down_five_times
    item, _ = pool.prepared(new())
    assert (item.outcome, item.prepared, item.attempts) == (None, "text", 0)


def test_a_fatal_error_is_reported_and_the_record_is_not_ready(pool: Pool) -> None:
    def fails(call: int) -> None:
        raise Fatal("wrong settings")

    pool.stage.failing = fails
    item, error = pool.prepared(new())
    assert (str(error), item.ready) == ("wrong settings", False)


def test_a_stop_gives_up_the_record_that_waits(pool: Pool) -> None:
    def down(call: int) -> None:
        raise Retry("down", after_s=60.0)

    pool.stage.failing = down
    item = new()
    pool.preparation.submit([item])
    while not pool.stage.calls:
        time.sleep(0.01)
    pool.stop.ask()
    chunk, error = pool.answers.get(timeout=LIMIT_S)
    assert isinstance(error, Stopped)
    assert (list(chunk), item.ready) == ([item], False)
