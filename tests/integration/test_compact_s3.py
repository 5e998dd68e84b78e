"""Compaction on a real S3 server, beside sinks that write and a reader that follows."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

from kaption.connections.errors import Fatal
from kaption.consumers import ShardOptions, ShardStream
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.pins import add_pin, delete_pin
from kaption.objectstore.s3 import S3Store
from kaption.workers.compaction import find_orphans
from support.compacting import LATER, compact, retire_all
from support.sink_records import TOPIC, done, now, offsets_in, open_sink, orphans_in, run, stored
from support.stream_records import pair_ids

pytestmark = pytest.mark.integration

RECORDS = 40


@pytest.fixture
def objects(s3) -> S3Store:
    return S3Store(s3.connection("team"))


def test_sinks_compactors_and_a_reader_at_once(objects, tmp_path):
    # Given a sink and its zombie, two compactors that remove at once, and a reader that follows
    blobs, stop = BlobStore(objects), threading.Event()
    messages = [stored(blobs, offset) for offset in range(RECORDS)]
    sinks = [open_sink(objects, tmp_path, f"w{number}") for number in range(2)]
    for sink in sinks:
        sink.resume(TOPIC, 0, 0)
    written = threading.Event()

    def write(number: int) -> bool:
        step = number + 1
        batches = [messages[i : i + step] for i in range(0, RECORDS, step)]
        return all(done(run(sinks[number], batch)) for batch in batches)

    def keep_compacting(number: int) -> int:
        rounds = 0
        while not written.is_set():
            rounds += compact(objects, writer=f"c{number}-{rounds}").after > 0
            retire_all(objects)
        return rounds

    def follow() -> list[str]:
        stream = ShardStream(
            objects, options=ShardOptions(follow=True, stop=stop, buffer=4, poll_s=0.05)
        )
        return pair_ids(islice(stream, RECORDS))

    # When all go on together
    with ThreadPoolExecutor(5) as threads:
        following = threads.submit(follow)
        compacting = [threads.submit(keep_compacting, number) for number in range(2)]
        try:
            assert all(threads.map(write, range(2)))
        finally:
            written.set()
        rounds = [each.result() for each in compacting]
        found = following.result(timeout=120)
        stop.set()

    # Then each record is in one shard, was given once, and nothing else is left
    assert sum(rounds) > 1
    assert sorted(found) == sorted(f"pair-{offset}" for offset in range(RECORDS))
    assert offsets_in(objects) == list(range(RECORDS))
    compact(objects)
    retire_all(objects)
    (manifest,) = read_manifests(objects, "dataset")
    assert manifest.pairs == RECORDS
    assert len(orphans_in(objects)) == 3  # of the sink's last shard
    # And what writers of checkpoints left that others overtook can go: readers need none of it
    left = find_orphans(objects, "dataset", LATER)
    assert not [key for key in left if "/data/" in key]
    for key in left:
        objects.delete(key)
    assert sorted(pair_ids(ShardStream(objects, options=ShardOptions(buffer=0)))) == sorted(found)


def test_pins_that_are_made_while_shards_are_merged_and_removed_give_the_same_for_ever(
    objects, tmp_path
):
    # Given a sink that goes on writing, and a compactor that removes at once
    blobs, written = BlobStore(objects), threading.Event()
    messages = [stored(blobs, offset) for offset in range(RECORDS)]
    sink = open_sink(objects, tmp_path, "w")
    sink.resume(TOPIC, 0, 0)
    assert done(run(sink, messages[:1]))

    def write() -> bool:
        return all(done(run(sink, [message])) for message in messages[1:])

    def keep_compacting() -> int:
        rounds = 0
        while not written.is_set():
            rounds += compact(objects, writer=f"c{rounds}").after > 0
            retire_all(objects)
        return rounds

    def read(name: str) -> list[str]:
        return pair_ids(ShardStream(objects, options=ShardOptions(pin=name, buffer=4)))

    def pin(writer: str, name: str) -> bool:
        try:
            add_pin(objects, "dataset", name, writer, now())
        except Fatal:  # the name is taken
            return False
        return True

    # When two pin it again and again meanwhile, each time under one name
    found: dict[str, list[str]] = {}
    with ThreadPoolExecutor(4) as threads:
        writing, compacting = threads.submit(write), threads.submit(keep_compacting)
        try:
            while not writing.done():
                name = f"pin-{len(found)}"
                assert sorted(threads.map(pin, ("a", "b"), (name, name))) == [False, True]
                found[name] = read(name)
            assert writing.result()
        finally:
            written.set()
        assert compacting.result() > 1

    # Then each name has one version, which can still be read
    compact(objects)
    retire_all(objects)
    assert {name: read(name) for name in found} == found
    ends = [len(each) for each in found.values()]
    assert ends == sorted(ends)
    assert len(set(ends)) > 1
    for name in found:
        delete_pin(objects, "dataset", name, now())
    retire_all(objects)
    assert len(list(objects.list("dataset/merged/"))) == 1
