"""A run stops waiting only when no further outcome can come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import pytest

from kaption.connections.settings import KafkaConnection
from kaption.consumers import ReadError
from kaption.schemas import Topic
from kaption.workers.batch.standstill import Standstill
from kaption.workers.runtime.progress import Progress

END = 3


class Reader:
    """Replaces TopicReader: every partition ends at END, or the broker does not answer."""

    def __init__(self) -> None:
        self.answers = True

    def __call__(self, connection: KafkaConnection, topics: Sequence[Topic]) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def ends(self) -> dict[tuple[str, int], int]:
        if not self.answers:
            raise ReadError("no Kafka broker answers")
        return {("pairs.raw", 0): END}


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Replace the reader of the broker's ends."""
    reader = Reader()
    monkeypatch.setattr("kaption.workers.batch.standstill.TopicReader", reader)
    return reader


def standstill(position: int = END, held: int = 0) -> Standstill:
    """A Standstill over ingest at `position`. Its clock advances a minute with each call."""
    progress, minutes = Progress("ingest"), iter(range(0, 6000, 60))
    progress.position, progress.held.records = position, held
    return Standstill(KafkaConnection(), {"ingest": progress}, clock=lambda: next(minutes))


@pytest.mark.usefixtures("reader")
def test_the_reader_of_outcomes_gets_time_after_the_stages_are_done() -> None:
    waiting = standstill()
    counts = [1, 1, 2, 2, 2]
    assert [waiting.reached(count) for count in counts] == [False, False, False, False, True]


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(("position", "held"), [(0, 0), (END - 1, 0), (END, 1)])
def test_unfinished_records_are_waited_for(position: int, held: int) -> None:
    waiting = standstill(position, held)
    assert not any(waiting.reached(1) for _ in range(10))


def test_a_broker_that_does_not_answer_is_waited_for(reader: Reader) -> None:
    reader.answers = False
    waiting = standstill()
    assert not any(waiting.reached(1) for _ in range(10))
