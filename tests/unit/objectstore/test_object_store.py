"""One suite for every object store, found by listing the package."""

import importlib
import pkgutil
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import kaption.objectstore
from kaption.connections.settings import StoreConnection
from kaption.objectstore import s3
from kaption.objectstore.folder import FolderStore
from kaption.objectstore.open import open_store
from kaption.objectstore.s3 import S3Store
from kaption.objectstore.store import ObjectStore
from support.parts import S3Bucket

pytestmark = pytest.mark.slow


def _implementations() -> list[type[ObjectStore]]:
    for module in pkgutil.iter_modules(kaption.objectstore.__path__):
        importlib.import_module(f"kaption.objectstore.{module.name}")
    found = ObjectStore.__subclasses__()
    return [kind for kind in found if kind.__module__.startswith("kaption.objectstore.")]


def _folder(request: pytest.FixtureRequest) -> StoreConnection:
    return StoreConnection(url=str(request.getfixturevalue("tmp_path") / "store"))


def _s3(request: pytest.FixtureRequest) -> StoreConnection:
    bucket: S3Bucket = request.getfixturevalue("s3")
    return bucket.connection("some/prefix")


CONNECTIONS: dict[type[ObjectStore], Callable[[pytest.FixtureRequest], StoreConnection]] = {
    FolderStore: _folder,
    S3Store: _s3,
}


@pytest.fixture(params=_implementations(), ids=lambda kind: kind.__name__)
def store(request: pytest.FixtureRequest) -> ObjectStore:
    opened = open_store(CONNECTIONS[request.param](request))
    assert type(opened) is request.param
    return opened


def test_an_object_is_written_read_and_replaced(store):
    store.put("a/b.txt", b"one", media_type="text/plain")
    assert store.get("a/b.txt") == b"one"
    store.put("a/b.txt", b"two, and longer")
    assert store.get("a/b.txt") == b"two, and longer"
    store.put("empty", b"")
    assert store.get("empty") == b""


def test_a_part_of_an_object_is_read(store):
    store.put("a/b", b"0123456789")
    assert store.get_part("a/b", 0, 3) == b"012"
    assert store.get_part("a/b", 4, 3) == b"456"
    assert store.get_part("a/b", 8, 100) == b"89"
    assert store.get_part("a/b", 10, 1) == b""
    with pytest.raises(KeyError):
        store.get_part("a/c", 0, 1)


def test_a_file_is_written_whole(store, tmp_path, monkeypatch):
    # Given files on both sides of what goes up in parts (S3 takes parts of 5 MiB and more)
    monkeypatch.setattr(s3, "MULTIPART_BYTES", 5 << 20)
    for size in (0, 12 << 20):
        path = tmp_path / f"{size}.bin"
        path.write_bytes(random.Random(size).randbytes(size))

        # When / Then
        store.put("shard.tar", path, media_type="application/x-tar")
        assert store.get("shard.tar") == path.read_bytes()
        assert path.exists()


def test_a_missing_object_is_a_key_error(store):
    store.put("a/b", b"")
    for key in ("nothing", "a", "a/nothing", "x/y/z"):
        with pytest.raises(KeyError):
            store.get(key)
        assert not store.exists(key)
    assert store.exists("a/b")


def test_put_if_absent_writes_once(store):
    # Given an object written if absent
    assert store.put_if_absent("m/1.json", b"first") is True

    # When written again, also after a plain put
    assert store.put_if_absent("m/1.json", b"second") is False
    store.put("m/2.json", b"plain")
    assert store.put_if_absent("m/2.json", b"second") is False

    # Then nothing changed
    assert (store.get("m/1.json"), store.get("m/2.json")) == (b"first", b"plain")


def test_of_sixteen_racing_writers_one_wins(store):
    # Given sixteen writers of one key, ten times
    with ThreadPoolExecutor(16) as threads:
        for race in range(10):
            key = f"race/{race}"
            texts = [b"writer %d " % number * 2000 for number in range(16)]

            # When they write at once
            won = list(threads.map(lambda text, key=key: store.put_if_absent(key, text), texts))

            # Then one was told so, and its bytes are there
            assert won.count(True) == 1
            assert store.get(key) == texts[won.index(True)]


def test_readers_see_the_old_or_the_new_object(store):
    # Given a writer that replaces an object over and over
    texts = [bytes([letter]) * 200_000 for letter in b"abcd"]
    store.put("x", texts[0])
    with ThreadPoolExecutor(2) as threads:
        writing = threads.submit(lambda: [store.put("x", text) for text in texts * 8])

        # When read meanwhile / Then it is always one of them whole
        reads = 0
        while not writing.done() or reads < 5:
            assert store.get("x") in texts
            reads += 1
        writing.result()


def test_keys_are_listed_in_lexical_order_by_prefix(store):
    # Given keys whose folders sort unlike their names
    keys = ["a-b", "a.b", "a/b", "a/b.c/d", "a/b/c", "a0", "ab/1", "ab/10", "ab/2", "B", "a=1/x"]
    keys.remove("a/b")  # a folder cannot hold a/b and a/b/c
    for key in random.Random(0).sample(keys, len(keys)):
        store.put(key, b".")

    # When / Then
    for prefix in ("", "a", "a/", "a/b", "ab/", "ab/1", "a-b", "a=", "nothing", "nothing/"):
        expected = sorted(key for key in keys if key.startswith(prefix))
        assert list(store.list(prefix)) == expected, prefix


def test_more_keys_than_a_page_holds_are_all_listed(store):
    keys = [f"many/{number:05d}" for number in range(1100)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: store.put(key, b""), keys))
    assert list(store.list("many/")) == keys
    assert list(store.list("many/", keys[1050])) == keys[1051:]


@pytest.mark.parametrize(
    ("after", "found"), [("0", ["1", "2", "4"]), ("1", ["2", "4"]), ("3", ["4"]), ("4", [])]
)
def test_a_listing_begins_after_a_key_whether_it_exists_or_not(store, after, found):
    for name in ("1", "2", "4"):
        store.put(f"a/b/{name}", b"")
    store.put("a/b0", b"")
    assert list(store.list("a/b/", f"a/b/{after}")) == [f"a/b/{name}" for name in found]


def test_folders_are_named_without_what_is_in_them(store):
    for key in ("a/00000/1", "a/00000/2/3", "a/00002/1", "a/b", "c/1"):
        store.put(key, b"")
    assert list(store.folders("a/")) == ["00000", "00002"]
    assert list(store.folders("")) == ["a", "c"]
    assert list(store.folders("missing/")) == []


def test_an_object_has_the_time_when_it_was_last_written(store):
    store.put("a/b", b"one")
    first = store.written_at("a/b")
    assert abs(first - datetime.now(UTC)) < timedelta(minutes=5)
    time.sleep(1.1)  # S3 counts in seconds
    store.put("a/b", b"two")
    assert store.written_at("a/b") > first
    for key in ("nothing", "a", "a/b/c"):
        with pytest.raises(KeyError):
            store.written_at(key)


def test_deleting_a_missing_object_is_no_error(store):
    store.put("a/b", b"")
    store.delete("a/b")
    store.delete("a/b")
    store.delete("a/b/c")
    assert not store.exists("a/b")
    assert list(store.list("")) == []
    assert store.put_if_absent("a/b", b"again") is True


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\\b", "a b", "~", "a\n", "ü"]
)
def test_keys_that_climb_or_mean_different_things_in_different_stores_are_refused(store, key):
    for call in (
        lambda: store.put(key, b""),
        lambda: store.put_if_absent(key, b""),
        lambda: store.get(key),
        lambda: store.exists(key),
        lambda: store.delete(key),
    ):
        with pytest.raises(ValueError, match="not an object key"):
            call()


@pytest.mark.parametrize("prefix", ["../", "/", "a//", "a/../", "\0"])
def test_prefixes_that_climb_are_refused(store, prefix):
    with pytest.raises(ValueError, match="not an object key"):
        list(store.list(prefix))


def test_a_store_that_answers_is_ready(store):
    assert store.ready() is None


def test_no_unfinished_files_are_left(store, tmp_path: Path):
    store.put("a", b"1")
    store.put_if_absent("a", b"2")
    store.put_if_absent("b", b"3")
    assert list(store.list("")) == ["a", "b"]
    assert not list(tmp_path.rglob("~unfinished/*"))
