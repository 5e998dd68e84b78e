import random
import threading
import time
from collections.abc import Sequence
from typing import ClassVar

from kaption.connections.kafka.messages import Partition
from kaption.schemas.topics import CLEAN, RAW, Topic
from kaption.workers.runtime.backoff import Backoff
from kaption.workers.runtime.entry import Entry
from kaption.workers.runtime.preparation import Preparation
from kaption.workers.runtime.stage import Dead, Emit, Outcome
from kaption.workers.runtime.stop import StopRequest
from support.engine import POLICY, Toy
from support.entries import Consumed


class AtTheEnd(Toy):
    """Reads pairs.clean, as the sink does."""

    inputs: ClassVar[tuple[Topic, ...]] = (CLEAN, RAW)


def outcome_of_nothing(topic: Topic) -> Outcome | None:
    """What becomes of a message without value."""
    done = threading.Event()

    def ready(chunk: Sequence[Entry], error: BaseException | None) -> None:
        assert error is None
        done.set()

    backoff = Backoff(POLICY, random.Random(1), StopRequest(time.monotonic), lambda _: None)
    stage = AtTheEnd()
    topics = {each.name: each for each in stage.inputs}
    preparation = Preparation(stage, topics, POLICY, backoff, time.monotonic)
    preparation.start(ready)
    entry = Entry(Consumed(topic.name, 0, 7, None), Partition(topic.name, 0), 1, 0)
    preparation.submit([entry])
    assert done.wait(10)
    preparation.stop()
    assert entry.ready
    return entry.outcome


def test_a_tombstone_of_a_compacted_topic_is_done_with() -> None:
    assert outcome_of_nothing(CLEAN) == Emit(())


def test_an_empty_message_of_any_other_topic_is_dead() -> None:
    assert isinstance(outcome_of_nothing(RAW), Dead)
