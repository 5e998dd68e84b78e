"""Claims on what images show, with racing workers and a real server."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import redis
from numpy.typing import NDArray

from kaption.connections.errors import Retry
from kaption.workers.stores.embeddings import unit
from kaption.workers.stores.footprint import Footprint
from kaption.workers.stores.image_cache import TTL_S
from kaption.workers.stores.semantic import ClaimedImage, SemanticClaims

pytestmark = pytest.mark.slow

SCORER = ("revision", "preprocessing")
D = 64


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def claims(client: redis.Redis, size: int = 10_000) -> SemanticClaims:
    """A worker's own."""
    return SemanticClaims(client, "t:", 0.95, size)


def shown(numbers: Sequence[int]) -> list[ClaimedImage]:
    return [ClaimedImage(f"{it:064x}", f"pairs.raw/0/{it}", f"pair-{it}") for it in numbers]


def rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Of images that are not alike."""
    drawn = np.random.default_rng(seed).normal(size=(count, D))
    return unit(drawn.astype(np.float16))


def beside(row: NDArray[np.float32], cosine: float, seed: int = 9) -> NDArray[np.float32]:
    """A vector at this cosine to `row`."""
    other = rows(1, seed)[0]
    other -= row * (row @ other)
    other /= np.linalg.norm(other)
    found: NDArray[np.float32] = (cosine * row + (1 - cosine**2) ** 0.5 * other)[None]
    return found


def names(found: Sequence[object]) -> list[str | None]:
    return [None if each is None else str(each).split()[1] for each in found]


def test_an_image_near_to_a_kept_one_is_found_by_another_worker(client: redis.Redis) -> None:
    # Given images that one worker kept
    kept = rows(5)
    assert claims(client).claim(SCORER, shown(range(5)), kept) == [None] * 5

    # When another worker claims one beside the third, one a little farther, and one twice
    new = np.concatenate([beside(kept[2], 0.96), beside(kept[2], 0.94, 8), rows(1, 7), rows(1, 7)])
    other = claims(client)
    found = other.claim(SCORER, shown([10, 11, 12, 13]), new)

    # Then
    assert names(found) == ["pair-2", None, None, "pair-12"]
    assert found[0] is not None
    assert found[0].cosine == pytest.approx(0.96, abs=2e-3)
    # And another scorer's embeddings are not compared with these
    assert other.claim(("next", "preprocessing"), shown([20]), kept[:1]) == [None]
    assert all(0 < client.ttl(key) <= TTL_S for key in client.scan_iter("{t:}semantic:????????*"))


def test_claims_that_are_repeated_get_the_same_answers(client: redis.Redis) -> None:
    # Given a batch with two images that show the same
    new = np.concatenate([rows(3), beside(rows(3)[1], 0.97)])
    first = claims(client).claim(SCORER, shown(range(4)), new)

    # When the worker dies, and others get its records, in other batches
    for again in (claims(client), claims(client)):
        repeated = [
            again.claim(SCORER, shown([number]), new[number : number + 1])[0]
            for number in (3, 1, 0, 2)
        ]

        # Then
        assert names(repeated) == ["pair-1", None, None, None]
    assert names(first) == [None, None, None, "pair-1"]


def test_of_racing_workers_one_keeps_each_image(client: redis.Redis) -> None:
    # Given eight workers that get the same forty images in pairs of their own
    images = rows(40)

    def work(worker: int) -> int:
        mine, kept = claims(client), 0
        for at in np.random.default_rng(worker).permutation(40).tolist():
            found = mine.claim(SCORER, shown([1000 * worker + at]), images[at : at + 1])
            kept += found == [None]
        return kept

    # When / Then
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(work, range(1, 9))) == 40


def test_a_log_and_the_copies_of_it_are_bounded_and_the_oldest_leave(client: redis.Redis) -> None:
    # Given a log of at most 100 images
    worker = claims(client, 100)
    many = rows(1000)
    for start in range(0, 1000, 50):
        numbers = range(start, start + 50)
        assert worker.claim(SCORER, shown(numbers), many[start : start + 50]) == [None] * 50

    # When copies of the oldest and of the latest come
    late = claims(client, 100).claim(SCORER, shown([2000, 2001]), many[[0, 999]])

    # Then
    assert names(late) == [None, "pair-999"]
    assert client.zcard(next(client.scan_iter("{t:}semantic:*", _type="zset"))) == 100
    (copy,) = worker._copies.values()
    assert len(copy._buffer) <= 400
    assert len(copy.owners) == len(copy.rows)


def test_a_long_log_is_read_in_parts(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given more images than one answer has
    monkeypatch.setattr("kaption.workers.stores.semantic.READ", 100)
    many = rows(200)
    claims(client).claim(SCORER, shown(range(len(many))), many)

    # When / Then
    places = [0, 99, 100, 199]
    new = [100_000 + at for at in range(4)]
    found = claims(client).claim(SCORER, shown(new), many[places])
    assert names(found) == [f"pair-{at}" for at in places]


def test_a_takedown_frees_what_an_image_shows_in_every_worker(client: redis.Redis) -> None:
    # Given two workers that know three images
    kept = rows(3)
    workers = [claims(client), claims(client)]
    for worker in workers:
        worker.claim(SCORER, shown(range(3)), kept)

    # When one is forgotten by its sha256 and another by its owner
    gone = [Footprint(sha256=f"{0:064x}"), Footprint(owner="pairs.raw/0/2"), Footprint(pair_id="x")]
    counted = workers[0].forget(gone, dry_run=True)

    # Then
    assert (counted, workers[0].forget(gone), workers[0].forget(gone)) == (2, 2, 0)
    assert names(workers[1].claim(SCORER, shown([7, 8, 9]), kept)) == [None, "pair-1", None]


def test_an_emptied_redis_starts_a_new_log(client: redis.Redis) -> None:
    # Given a worker with a copy of a log
    kept = rows(3)
    worker = claims(client)
    worker.claim(SCORER, shown(range(3)), kept)

    # When Redis is emptied, and another worker keeps more images than there were
    client.flushdb()
    claims(client).claim(SCORER, shown(range(10, 15)), rows(5, 1))

    # Then the old images are new again
    found = worker.claim(SCORER, shown([20, 21]), np.concatenate([kept[:1], rows(1, 1)]))
    assert names(found) == [None, "pair-10"]


def test_a_broken_scorer_leaves_nothing(client: redis.Redis) -> None:
    broken = np.full((1, D), np.nan, np.float32)

    assert claims(client).claim(SCORER, shown([0]), broken) == [None]
    assert claims(client).claim(SCORER, shown([1, 2]), rows(2)) == [None, None]


def test_redis_that_is_away_is_asked_again() -> None:
    away = claims(redis.Redis(port=1))

    with pytest.raises(Retry):
        away.claim(SCORER, shown([0]), rows(1))
    with pytest.raises(Retry):
        away.forget([Footprint(owner="pairs.raw/0/0")])
