"""The tally of a run finds inputs without an outcome and inputs with two."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kaption.consumers import Read
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.folder import FolderStore
from kaption.schemas import (
    DeadLetter,
    MalformedRecordError,
    Position,
    Reason,
    RejectedPair,
    Versioned,
)
from kaption.schemas.wire import ORIGIN_HEADER
from kaption.workers.batch.tally import Tally
from support.sink_records import stored

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def read(record: Versioned, origin: int) -> Read:
    """A terminal record of the input with offset `origin`."""
    place = Position("pairs.clean", 0, 100 + origin)
    return Read(place, record, [(ORIGIN_HEADER, f"pairs.raw/0/{origin}".encode())])


@pytest.fixture
def terminal(tmp_path: Path) -> list[Read]:
    """One clean pair, one rejection and one dead letter, of the origins 0 to 2."""
    clean = stored(BlobStore(FolderStore(tmp_path)), 0, original_score=0.1).record
    rejected = RejectedPair(
        pair_id="p",
        stage="ingest",
        reason=Reason.TOO_SMALL,
        rejected_at=NOW,
        record_schema="RawPair/1",
        record={},
    )
    dead = DeadLetter(
        topic="pairs.raw",
        partition=0,
        offset=2,
        timestamp_ms=0,
        key=None,
        value=b"?",
        stage="ingest",
        error="no JSON",
        attempts=1,
        died_at=NOW,
    )
    return [read(clean, 0), read(rejected, 1), read(dead, 2)]


def test_one_outcome_for_each_input_is_no_fault(terminal: list[Read]) -> None:
    tally = Tally()
    for each in terminal:
        tally.add(each)
    assert tally.faults(published=3) == []
    assert (tally.clean, dict(tally.rejected), dict(tally.dead)) == (
        1,
        {("ingest", "too_small"): 1},
        {"ingest": 1},
    )
    assert (tally.score_before, tally.score_after) == (0.1, 0.3)


def test_a_missing_outcome_is_a_fault(terminal: list[Read]) -> None:
    tally = Tally()
    for each in terminal[:2]:
        tally.add(each)
    assert tally.faults(published=3) == ["1 of 3 inputs have no outcome"]


def test_a_second_outcome_is_a_fault(terminal: list[Read]) -> None:
    tally = Tally()
    for each in [*terminal, terminal[0]]:
        tally.add(each)
    assert tally.faults(published=3) == ["1 inputs have more than one outcome"]


def test_another_record_in_a_terminal_topic_is_an_error(terminal: list[Read]) -> None:
    unreadable = Read(terminal[0].position, MalformedRecordError("no record"), [])
    with pytest.raises(TypeError, match="no record"):
        Tally().add(unreadable)
