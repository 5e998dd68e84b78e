"""The copy of the dataset's takedowns in Redis."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
import redis

from kaption.connections.errors import Retry
from kaption.connections.settings import RedisConnection
from kaption.objectstore.dataset.takedowns import (
    add_takedown,
    lift_takedown,
    lifted_ids,
    mark_lifted,
    takedown_ids,
    takedown_keys,
)
from kaption.objectstore.folder import FolderStore
from kaption.objectstore.open import open_store
from kaption.objectstore.store import ObjectStore
from kaption.schemas import RawPair, Takedown, TakedownKind, encode
from kaption.workers.stores.client import connect_redis
from kaption.workers.stores.takedowns import COMPARE_S, TakedownList
from support.ingest_bench import raw
from support.parts import S3Bucket

pytestmark = pytest.mark.slow


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect_redis(RedisConnection.model_validate({"url": redis_url})) as client:
        yield client


@pytest.fixture
def objects(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def listed(
    client: redis.Redis,
    objects: ObjectStore,
    clock: Clock | None = None,
    prefix: str = "dataset",
) -> TakedownList:
    read, lifted = partial(takedown_ids, objects, prefix), partial(lifted_ids, objects, prefix)
    return TakedownList(client, "kaption:", read, lifted, clock=clock or Clock())


def pair(number: int) -> RawPair:
    return raw(b"", number).record


def takedown(number: int) -> Takedown:
    value = pair(number).pair_id
    return Takedown(kind=TakedownKind.PAIR, value=value, requested_at=datetime.now(UTC))


def test_an_empty_redis_is_filled_from_the_dataset(
    client: redis.Redis, objects: FolderStore
) -> None:
    # Given a takedown, also in a file whose name is not its id
    add_takedown(objects, "dataset", takedown(1))
    objects.put("dataset/takedown/by-hand.json", encode(takedown(2)))
    takedowns = listed(client, objects)

    # When it is looked up, and again after Redis was emptied
    for _ in range(2):
        found = takedowns.covering([pair(0), pair(1), pair(2)])
        assert found == [None, takedown(1).takedown_id, takedown(2).takedown_id]
        client.flushdb()


def test_an_added_takedown_holds_at_once_for_every_worker(
    client: redis.Redis, objects: FolderStore
) -> None:
    workers = [listed(client, objects) for _ in range(2)]
    assert [each.covering([pair(1)]) for each in workers] == [[None]] * 2

    add_takedown(objects, "dataset", takedown(1))
    workers[0].add([takedown(1).takedown_id])

    assert [each.covering([pair(1)]) for each in workers] == [[takedown(1).takedown_id]] * 2


def test_a_comparison_adds_missing_takedowns_and_removes_lifted_ones(
    client: redis.Redis, objects: FolderStore
) -> None:
    # Given a Redis that has a lifted takedown and lacks another one
    add_takedown(objects, "dataset", takedown(1))
    clock = Clock()
    takedowns = listed(client, objects, clock)
    assert takedowns.covering([pair(1)]) == [takedown(1).takedown_id]
    lift_takedown(objects, "dataset", takedown(1))
    add_takedown(objects, "dataset", takedown(2))

    # When a comparison is due / Then both are corrected
    assert takedowns.covering([pair(1), pair(2)]) == [takedown(1).takedown_id, None]
    clock.now += COMPARE_S
    assert takedowns.covering([pair(1), pair(2)]) == [None, takedown(2).takedown_id]


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return FolderStore(tmp_path)
    return open_store(S3Bucket.on(request.getfixturevalue("seaweedfs")).connection("team"))


@pytest.mark.parametrize("change", ["a new prefix", "a nested prefix", "a lost bucket"])
def test_a_takedown_that_the_dataset_lacks_holds_until_it_is_lifted(
    client: redis.Redis, store: ObjectStore, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    # Given workers that have applied a takedown
    add_takedown(store, "dataset", takedown(1))
    assert listed(client, store).covering([pair(1)]) == [takedown(1).takedown_id]

    # When the next workers have another dataset, and compare twice
    prefix = {"a new prefix": "dataset-2", "a nested prefix": "dataset/2"}.get(change, "dataset")
    for key in takedown_keys(store, "dataset") if change == "a lost bucket" else ():
        store.delete(key)
    clock = Clock()
    workers = listed(client, store, clock, prefix)
    add_takedown(store, prefix, takedown(2))

    # Then both takedowns hold, and it is told that readers have but one
    for _ in range(2):
        held = [takedown(1).takedown_id, takedown(2).takedown_id]
        assert workers.covering([pair(1), pair(2)]) == held
        clock.now += COMPARE_S
    (told,) = caplog.records
    assert (told.levelname, vars(told)["missing"]) == ("WARNING", 1)

    # And the lift of it in the new dataset ends it for all workers
    mark_lifted(store, prefix, takedown(1))
    clock.now += COMPARE_S
    assert workers.covering([pair(1), pair(2)]) == [None, takedown(2).takedown_id]


def test_a_takedown_that_was_lifted_holds_again_when_it_is_repeated(
    client: redis.Redis, objects: FolderStore
) -> None:
    # Given a takedown that was lifted and repeated, and a Redis of the time between
    add_takedown(objects, "dataset", takedown(1))
    lift_takedown(objects, "dataset", takedown(1))
    assert listed(client, objects).covering([pair(1)]) == [None]
    add_takedown(objects, "dataset", takedown(1))

    # When workers compare / Then it holds, and it stays
    clock = Clock()
    takedowns = listed(client, objects, clock)
    for _ in range(2):
        assert takedowns.covering([pair(1)]) == [takedown(1).takedown_id]
        clock.now += COMPARE_S


def test_two_datasets_of_one_redis_do_not_undo_each_others_takedowns(
    client: redis.Redis, objects: FolderStore
) -> None:
    clock = Clock()
    workers = [listed(client, objects, clock, prefix) for prefix in ("a", "b")]
    for number, prefix in enumerate(("a", "b")):
        add_takedown(objects, prefix, takedown(number))

    for _ in range(2):
        for each in workers:
            each.covering([pair(0)])
        clock.now += COMPARE_S
        for each in workers:
            assert None not in each.covering([pair(0), pair(1)])


def test_known_takedowns_are_not_read_again(client: redis.Redis, objects: FolderStore) -> None:
    add_takedown(objects, "dataset", takedown(1))
    listed(client, objects).covering([pair(1)])

    class Unreadable(FolderStore):
        def get(self, key: str) -> bytes:
            raise AssertionError(key)

    again = listed(client, Unreadable(objects._root))
    assert again.covering([pair(1)]) == [takedown(1).takedown_id]


def test_a_takedown_that_is_added_during_a_comparison_is_not_lost(
    client: redis.Redis, objects: FolderStore
) -> None:
    # Given a worker that has listed the dataset when another takedown is added
    def slow(known: Collection[str]) -> set[str]:
        found = takedown_ids(objects, "dataset")
        add_takedown(objects, "dataset", takedown(1))
        listed(client, objects).add([takedown(1).takedown_id])
        return found

    # When the worker has completed the set / Then the takedown is in it
    takedowns = TakedownList(client, "kaption:", slow, clock=Clock())
    assert takedowns.covering([pair(1)]) == [takedown(1).takedown_id]


def test_concurrent_threads_read_the_dataset_once(client: redis.Redis) -> None:
    reads = []

    def read(known: Collection[str]) -> Collection[str]:
        reads.append(known)
        return ()

    takedowns = TakedownList(client, "kaption:", read)
    threads = [Thread(target=takedowns.covering, args=([pair(0)],)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 1


def test_a_redis_that_is_down_raises_retry() -> None:
    connection = RedisConnection.model_validate({"url": "redis://127.0.0.1:1/0"})
    takedowns = TakedownList(connect_redis(connection), "k:", lambda known: ())
    with pytest.raises(Retry):
        takedowns.covering([pair(0)])
