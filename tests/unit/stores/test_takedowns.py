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
from kaption.objectstore.dataset.takedowns import add_takedown, takedown_ids, takedown_keys
from kaption.objectstore.folder import FolderStore
from kaption.schemas import RawPair, Takedown, TakedownKind, encode
from kaption.workers.stores.client import connect_redis
from kaption.workers.stores.takedowns import COMPARE_S, TakedownList
from support.ingest_bench import raw

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


def listed(client: redis.Redis, objects: FolderStore, clock: Clock | None = None) -> TakedownList:
    read = partial(takedown_ids, objects, "dataset")
    return TakedownList(client, "kaption:", read, clock=clock or Clock())


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


def test_a_comparison_adds_missing_takedowns_and_removes_withdrawn_ones(
    client: redis.Redis, objects: FolderStore
) -> None:
    # Given a Redis that has a withdrawn takedown and lacks another one
    add_takedown(objects, "dataset", takedown(1))
    clock = Clock()
    takedowns = listed(client, objects, clock)
    assert takedowns.covering([pair(1)]) == [takedown(1).takedown_id]
    for key in takedown_keys(objects, "dataset"):
        objects.delete(key)
    add_takedown(objects, "dataset", takedown(2))

    # When a comparison is due / Then both are corrected
    assert takedowns.covering([pair(1), pair(2)]) == [takedown(1).takedown_id, None]
    clock.now += COMPARE_S
    assert takedowns.covering([pair(1), pair(2)]) == [None, takedown(2).takedown_id]


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
