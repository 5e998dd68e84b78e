"""What a replay remembers of the runs before."""

from kaption.producers.feed.checkpoint import METADATA_BYTES
from kaption.schemas import Position
from kaption.workers.replay import _Passed


def test_a_cursor_fits_however_many_runs_left_gaps() -> None:
    # Given runs that each read a part further on, of as many partitions as a topic may have
    cursor = None
    for run in range(50):
        passed = _Passed(cursor)
        for number in range(64):
            assert passed.add(Position("pairs.dead", number, 10**9 + 10 * run))
        cursor = passed.cursor
        # When / Then
        assert len(cursor) < METADATA_BYTES


def test_a_run_from_further_back_goes_on_where_it_was_and_passes_over_the_newest() -> None:
    # Given a run of the newest, and one of everything that was left in its middle
    first = _Passed(None)
    assert all(first.add(Position("pairs.dead", 0, offset)) for offset in (6, 8))
    second = _Passed(first.cursor)
    assert all(second.add(Position("pairs.dead", 0, offset)) for offset in (0, 2))
    # When it is gone on with
    rest = _Passed(second.cursor)
    found = [offset for offset in range(0, 12, 2) if rest.add(Position("pairs.dead", 0, offset))]
    # Then it gives what is left
    assert found == [4, 10]
