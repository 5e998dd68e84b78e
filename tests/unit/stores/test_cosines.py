"""The histograms of cosines in Redis."""

import pytest
import redis

from kaption.schemas import Position
from kaption.workers.stores import cosines
from kaption.workers.stores.cosines import Cell, CosineSample, CosineStore, bin_of

SCORER = ("revision", "preprocessing")


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


def sample(offset: int, cell: Cell, partition: int = 0, matched: float = 0.3) -> CosineSample:
    return CosineSample(cell, Position("pairs.ingested", partition, offset), matched, [0.1, 0.1])


def test_counts_of_replicas_add_up_in_each_wider_cell(client: redis.Redis) -> None:
    # Given two replicas that read two partitions, with texts of one language and two sources
    one, other = CosineStore(client, "t:"), CosineStore(client, "t:")
    cells = [Cell("en", "shop"), Cell("en", "news")]
    # When each counts
    one.add(SCORER, [sample(at, cells[0]) for at in range(3)])
    other.add(SCORER, [sample(at, cells[1], partition=1) for at in range(4)])
    # Then both read the same, and another scorer has nothing
    for store in (one, other):
        found = store.read(SCORER, [*cells, Cell("en"), Cell(), Cell("de")])
        assert [each.matched[bin_of(0.3)] for each in found] == [3, 4, 7, 7, 0]
        assert [each.shuffled[bin_of(0.1)] for each in found] == [6, 8, 14, 14, 0]
    assert not one.read(("next", "preprocessing"), [Cell()])[0].matched


@pytest.mark.parametrize("again", [range(6), range(3), range(2, 6)])
def test_a_redelivery_counts_once(client: redis.Redis, again: range) -> None:
    store = CosineStore(client, "t:")
    store.add(SCORER, [sample(at, Cell()) for at in range(6)])

    counted = store.add(SCORER, [sample(at, Cell()) for at in again])

    assert counted == {}
    assert store.read(SCORER, [Cell()])[0].matched.total() == 6


def test_a_batch_that_is_cut_in_two_counts_whole(client: redis.Redis) -> None:
    store = CosineStore(client, "t:")
    for part in (range(4), range(2, 9)):
        store.add(SCORER, [sample(at, Cell()) for at in part])

    assert store.read(SCORER, [Cell()])[0].matched.total() == 9


def test_sources_without_number_take_bounded_memory(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given room for four sources, and one source that comes again and again
    monkeypatch.setattr(cosines, "MOST_CELLS", 4)
    store, often = CosineStore(client, "t:"), Cell("en", "often")
    # When forty others come
    for at in range(40):
        store.add(SCORER, [sample(2 * at, Cell("en", f"source {at}")), sample(2 * at + 1, often)])
    # Then only so many cells are left, the one that is in use is among them, and all were counted
    assert len(list(client.scan_iter("t:cosines:*"))) == 4 + len([Cell("en"), Cell()]) + 2
    found = store.read(SCORER, [often, Cell("en"), Cell()])
    assert [each.matched.total() for each in found] == [40, 80, 80]


def test_what_is_no_number_is_not_counted(client: redis.Redis) -> None:
    store, nan = CosineStore(client, "t:"), float("nan")
    position = Position("pairs.ingested", 0, 5)
    store.add(SCORER, [CosineSample(Cell(), position, nan, [0.1])])
    store.add(SCORER, [CosineSample(Cell(), Position("pairs.ingested", 0, 6), 0.3, [0.1, nan])])

    (found,) = store.read(SCORER, [Cell()])
    assert (found.matched.total(), found.shuffled.total()) == (1, 1)


def test_every_key_expires(client: redis.Redis) -> None:
    store = CosineStore(client, "t:")
    store.add(SCORER, [sample(0, Cell("en", "shop"))])
    store.use(SCORER, Cell(), 0.25)

    assert store.read(SCORER, [Cell()])[0].used == 0.25
    assert all(client.ttl(key) > 0 for key in client.scan_iter("t:cosines:*"))


@pytest.mark.parametrize("cosine", [-1.0001, -1.0, 0.0, 0.99999, 1.0, 1.0001])
def test_each_cosine_has_a_bin(cosine: float) -> None:
    assert 0 <= bin_of(cosine) < cosines.BINS
