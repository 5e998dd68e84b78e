"""What the topic's window releases depends on the log alone."""

import pytest

from kaption.consumers.topic.window import RecordWindow, WindowEntry
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.folder import FolderStore
from kaption.schemas import CleanPair, Position
from support.sink_records import stored

TOPIC = "pairs.clean"


@pytest.fixture
def pair(tmp_path) -> CleanPair:
    return stored(BlobStore(FolderStore(tmp_path)), 0).record


def released(
    log: list[tuple[int, str, bool]], pair: CleanPair, width: int
) -> list[tuple[int, str]]:
    """Return offsets and pairs that a window releases of (offset, pair_id, is no tombstone)."""
    window = RecordWindow(width)
    found = []
    for offset, pair_id, alive in log:
        found += list(window.add(held(offset, pair_id, pair, alive=alive)))
    found += list(window.flush())
    assert [each.position.offset for each in found] == [offset for offset, _, _ in log]
    return [(each.position.offset, each.pair_id) for each in found if each.skip is None]


def held(
    offset: int, pair_id: str, pair: CleanPair, partition: int = 0, alive: bool = True
) -> WindowEntry:
    position = Position(TOPIC, partition, offset)
    return (
        WindowEntry(position, pair_id, pair)
        if alive
        else WindowEntry(position, pair_id, None, "tombstone")
    )


def test_a_later_message_replaces_within_the_window_and_not_beyond(pair):
    near = [(0, "a", True), (1, "b", True), (2, "a", True)]
    assert released(near, pair, 2) == [(1, "b"), (2, "a")]
    far = [(0, "a", True), (1, "b", True), (2, "b", True), (3, "c", True), (4, "a", True)]
    assert released(far, pair, 2) == [(0, "a"), (2, "b"), (3, "c"), (4, "a")]


def test_a_tombstone_drops_the_pair_and_is_not_given(pair):
    log = [(0, "a", True), (1, "b", True), (2, "a", False), (3, "c", False)]
    assert released(log, pair, 5) == [(1, "b")]


def test_a_pair_that_comes_again_after_its_tombstone_is_given(pair):
    log = [(0, "a", True), (1, "a", False), (2, "a", True)]
    assert released(log, pair, 5) == [(2, "a")]


def test_each_partition_has_its_own_window(pair):
    window = RecordWindow(1)
    for partition in (0, 1):
        assert not list(window.add(held(0, "a", pair, partition)))
    assert not list(window.add(held(1, "b", pair, 1)))
    (out,) = window.add(held(2, "c", pair, 1))
    assert out.position == Position(TOPIC, 1, 0)


@pytest.mark.parametrize("begin", range(12))
def test_reading_from_the_middle_releases_the_same_rest(pair, begin):
    # Given a log with versions near and far, and where reading is resumed after what was given
    names = "abacabdabcba"
    log = [(2 * place, name, name != "d") for place, name in enumerate(names)]
    whole = released(log, pair, 5)

    # When
    given = [each for each in whole if each[0] < 2 * begin]
    after = given[-1][0] + 1 if given else 0
    rest = released([each for each in log if each[0] >= after], pair, 5)

    # Then
    assert given + rest == whole


def test_what_is_left_out_says_why(pair):
    window = RecordWindow(5)
    for offset, alive in enumerate([True, True, False]):
        assert not list(window.add(held(offset, "a", pair, alive=alive)))
    assert [each.skip for each in window.flush()] == ["replaced", "replaced", "tombstone"]
