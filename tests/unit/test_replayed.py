"""The cursor of a replay, which remembers earlier runs."""

from kaption.producers.feed.checkpoint import METADATA_BYTES
from kaption.schemas import Position
from kaption.workers.replay import _Passed


def test_a_cursor_stays_small_after_many_runs_with_gaps() -> None:
    # Given runs that each read a later part of very many partitions
    cursor = None
    for run in range(50):
        passed = _Passed(cursor)
        for number in range(64):
            assert passed.add(Position("pairs.dead", number, 10**9 + 10 * run))
        cursor = passed.cursor
        # When / Then
        assert len(cursor) < METADATA_BYTES


def test_a_resumed_run_from_an_earlier_time_skips_the_messages_of_earlier_runs() -> None:
    # Given a run over the newest messages, and a run over all messages that was stopped halfway
    first = _Passed(None)
    assert all(first.add(Position("pairs.dead", 0, offset)) for offset in (6, 8))
    second = _Passed(first.cursor)
    assert all(second.add(Position("pairs.dead", 0, offset)) for offset in (0, 2))
    # When the second run is resumed
    rest = _Passed(second.cursor)
    found = [offset for offset in range(0, 12, 2) if rest.add(Position("pairs.dead", 0, offset))]
    # Then it gives only the messages that neither has read
    assert found == [4, 10]
