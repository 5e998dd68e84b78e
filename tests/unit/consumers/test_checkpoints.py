"""Readers take what they know of a dataset from checkpoints, and give exactly the same samples."""

import random
from collections import Counter
from itertools import islice

import pytest

from kaption.connections.errors import Retry
from kaption.consumers import ShardOptions, ShardStream
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset import checkpointer
from kaption.objectstore.dataset.checkpointer import Checkpointer
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.folder import FolderStore
from kaption.schemas import CleanPair, TakedownKind
from kaption.workers.runtime.stage import Incoming
from support.compacting import compact, retire_all
from support.stream_records import named, pair_ids, resumed, take_down, write_shards

pytestmark = pytest.mark.slow
IN_ORDER = ShardOptions(shuffle=False)
LAYOUT = Layout("dataset")


class NotedStore(FolderStore):
    """A folder that counts calls and notes what is read."""

    def __init__(self, root) -> None:
        super().__init__(root)
        self.calls = Counter[str]()
        self.read: list[str] = []

    def list(self, prefix, after=""):
        self.calls["list"] += 1
        return super().list(prefix, after)

    def get(self, key):
        self.read.append(key)
        return super().get(key)


def versions(
    blobs: BlobStore, source: random.Random, shards: int
) -> list[list[Incoming[CleanPair]]]:
    """Shards of three partitions, in which a few pairs come again and again."""
    made, offsets = [], [0, 0, 0]
    for number in range(shards):
        partition = number % 3
        shard = []
        for _ in range(source.randint(1, 3)):
            name = f"{partition}-often-{source.randint(0, 5)}"
            changes = {"pair_id": name, "version": source.randint(1, 4)}
            shard.append(named(blobs, offsets[partition], partition, **changes))
            offsets[partition] += source.randint(1, 2)
        made.append(shard)
    return made


def latest(shards: list[list[Incoming[CleanPair]]]) -> set[tuple[int, int]]:
    """Partition and offset of the latest version of each pair."""
    best: dict[str, tuple[int, int, int]] = {}
    for message in (each for shard in shards for each in shard):
        pair, at = message.record, message.position
        place = (pair.version, at.offset, at.partition)
        best[pair.pair_id] = max(best.get(pair.pair_id, place), place)
    return {(partition, offset) for _, offset, partition in best.values()}


def places(objects: FolderStore) -> list[tuple[int, int]]:
    owners = (
        sample.pair.dedup.owner.split("/") for sample in ShardStream(objects, options=IN_ORDER)
    )
    return [(int(partition), int(offset)) for _, partition, offset in owners]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("every", [1, 3, 1000])
def test_only_the_latest_versions_are_given_however_many_shards_have_a_checkpoint(
    objects, tmp_path, monkeypatch, seed, every
):
    # Given / When
    monkeypatch.setattr(checkpointer, "EVERY", every)
    shards = versions(BlobStore(objects), random.Random(seed), 20)
    write_shards(objects, tmp_path, shards)

    # Then
    assert set(places(objects)) == latest(shards)
    assert len(places(objects)) == len(latest(shards))
    found = list(objects.list(LAYOUT.checkpoints()))
    assert len(found) == (0 if every == 1000 else 6)


def test_a_start_reads_no_table_of_a_shard_that_has_a_checkpoint(objects, tmp_path):
    # Given checkpoints of all shards of three partitions
    write_shards(objects, tmp_path, versions(BlobStore(objects), random.Random(1), 30))
    for partition in range(3):
        Checkpointer(objects, "dataset").write(partition)
    counted = NotedStore(tmp_path / "store")

    # When
    next(iter(ShardStream(counted, options=ShardOptions(shuffle=False, takedown_s=1e9))))

    # Then manifests are read of the tars alone, and no table
    kinds = Counter(key.split("/")[1] for key in counted.read)
    assert (kinds["checkpoint"], kinds["versions"]) == (3, 1)
    assert kinds["manifest"] == sum(key.endswith(".tar") for key in counted.read) < 10
    assert kinds.total() == 4 + 2 * kinds["manifest"]
    assert counted.calls["list"] == 2 + 2 * 3


@pytest.mark.parametrize("given", [1, 2, 5])
def test_a_state_from_before_a_checkpoint_resumes_exactly(objects, tmp_path, given):
    # Given a stream that was left, and then shards that replace some of its samples
    shards = versions(BlobStore(objects), random.Random(3), 24)
    write_shards(objects, tmp_path, shards[:15])
    whole = pair_ids(ShardStream(objects, options=IN_ORDER))
    stream = ShardStream(objects, options=IN_ORDER)
    pair_ids(islice(stream, given))
    state = stream.state_dict()
    write_shards(objects, tmp_path, shards[15:])

    # When checkpoints say what is replaced, and one is merged
    for partition in range(3):
        Checkpointer(objects, "dataset").write(partition)
    rest = pair_ids(resumed(objects, state, shuffle=False))
    compact(objects)

    # Then
    assert rest == whole[given:]
    assert pair_ids(resumed(objects, state, shuffle=False)) == rest
    assert set(places(objects)) == latest(shards)


def test_a_sink_whose_store_goes_away_commits_without_a_checkpoint_and_does_not_wait(
    objects, tmp_path, monkeypatch
):
    # Given a store that stops giving data when a checkpoint is due
    class GoneStore(NotedStore):
        def get(self, key):
            data = super().get(key)
            if "/data/" in key:
                raise Retry("S3 is away")
            return data

    write_shards(objects, tmp_path, versions(BlobStore(objects), random.Random(5), 6))
    monkeypatch.setattr(checkpointer, "EVERY", 2)
    monkeypatch.setattr("kaption.objectstore.open.PATIENCE_S", 1.0)
    gone = GoneStore(tmp_path / "store")

    # When / Then each object was asked for once
    Checkpointer(gone, "dataset").committed(0)
    asked = [key for key in gone.read if "/data/" in key]
    assert len(asked) == len(set(asked)) == 1
    assert not list(objects.list(LAYOUT.checkpoints(0)))

    # When / Then the store is back
    Checkpointer(objects, "dataset").committed(0)
    assert len(list(objects.list(LAYOUT.checkpoints(0)))) == 1


FAULTS = {
    "torn": lambda objects, key: objects.put(key, objects.get(key)[:100]),
    "of another kind": lambda objects, key: objects.put(key, b"{}"),
    "gone": lambda objects, key: objects.delete(key),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("which", ["checkpoint", "pairs", "versions", "rules"])
def test_what_is_wrong_with_a_checkpoint_costs_time_and_no_sample(objects, tmp_path, which, fault):
    # Given
    shards = versions(BlobStore(objects), random.Random(5), 24)
    write_shards(objects, tmp_path, shards[:18])
    for partition in range(3):
        Checkpointer(objects, "dataset").write(partition)

    # When objects of it are damaged or lost
    for key in list(objects.list(f"dataset/{which}/")):
        FAULTS[fault](objects, key)
    write_shards(objects, tmp_path, shards[18:])

    # Then the samples are the same, and the next checkpoint is whole again
    assert set(places(objects)) == latest(shards)
    for partition in range(3):
        Checkpointer(objects, "dataset").write(partition)
    assert set(places(objects)) == latest(shards)


def test_of_two_writers_of_a_checkpoint_both_are_right(objects, tmp_path, monkeypatch):
    # Given a writer that another one overtakes, after a new shard
    blobs = BlobStore(objects)
    write_shards(objects, tmp_path, [[named(blobs, 0, 0)], [named(blobs, 1, 0, pair_id="0-0")]])
    slow, put = Checkpointer(objects, "dataset"), objects.put_if_absent

    def overtaken(key, data, **kwargs):
        monkeypatch.setattr(objects, "put_if_absent", put)
        write_shards(objects, tmp_path, [[named(blobs, 2, 0, pair_id="0-0")]])
        Checkpointer(objects, "dataset").write(0)
        return put(key, data, **kwargs)

    monkeypatch.setattr(objects, "put_if_absent", overtaken)

    # When
    stored = slow.write(0)

    # Then
    assert (stored.checkpoint.number, stored.checkpoint.end) == (1, 3)
    assert places(objects) == [(0, 2)]


def test_a_compactor_of_an_older_version_may_remove_what_a_checkpoint_names(objects, tmp_path):
    # Given checkpoints, and shards that were merged and removed without a newer one
    shards = versions(BlobStore(objects), random.Random(6), 24)
    write_shards(objects, tmp_path, shards)
    for partition in range(3):
        Checkpointer(objects, "dataset").write(partition)
    stream = ShardStream(objects, options=IN_ORDER)
    whole = pair_ids(stream)
    pair_ids(islice(stream, 3))
    state = stream.state_dict()
    saved = {key: objects.get(key) for key in objects.list(LAYOUT.checkpoints())}
    compact(objects)
    retire_all(objects)
    for key in list(objects.list(LAYOUT.checkpoints())):
        objects.delete(key)
    for key, data in saved.items():
        objects.put(key, data)

    # When / Then
    assert pair_ids(ShardStream(objects, options=IN_ORDER)) == whole
    assert sorted(pair_ids(resumed(objects, state, shuffle=False))) == sorted(whole[3:])


def test_an_old_version_that_comes_late_is_not_given(objects, tmp_path):
    # Given a checkpoint with a higher version, and then a lower one
    blobs = BlobStore(objects)
    write_shards(objects, tmp_path, [[named(blobs, 0, 0, pair_id="same", version=3)]])
    Checkpointer(objects, "dataset").write(0)
    write_shards(objects, tmp_path, [[named(blobs, 1, 0, pair_id="same", version=2)]])

    # When / Then
    assert places(objects) == [(0, 0)]
    Checkpointer(objects, "dataset").write(0)
    assert places(objects) == [(0, 0)]


def test_what_is_taken_down_between_a_checkpoint_and_a_read_is_not_given(objects, tmp_path):
    # Given a checkpoint, and a takedown of what replaced an older version
    blobs = BlobStore(objects)
    new = named(blobs, 1, 0, pair_id="same", version=2)
    write_shards(objects, tmp_path, [[named(blobs, 0, 0, pair_id="same")], [new]])
    Checkpointer(objects, "dataset").write(0)
    take_down(objects, TakedownKind.SHA256, new.record.image.blob.sha256)

    # When / Then neither version is given, also after compaction and removal
    assert places(objects) == []
    compact(objects)
    assert places(objects) == []
    retire_all(objects)
    assert places(objects) == []


@pytest.mark.parametrize("known", [False, True])
def test_a_shard_that_was_damaged_for_its_checkpoint_is_read_when_it_is_restored(
    objects, tmp_path, known
):
    # Given a checkpoint that could read neither tar nor table of a shard with an older version
    blobs = BlobStore(objects)
    write_shards(objects, tmp_path, [[named(blobs, 0, 0, pair_id="same")]])
    data = {key: objects.get(key) for key in objects.list("dataset/data/")}
    for key in data:
        objects.delete(key)
    write_shards(objects, tmp_path, [[named(blobs, 1, 0, pair_id="same")], [named(blobs, 2, 0)]])
    assert Checkpointer(objects, "dataset").write(0).checkpoint.unread == ((0, 1),)

    # When the objects are restored
    for key, content in data.items():
        objects.put(key, content)
    if known:
        assert Checkpointer(objects, "dataset").write(0).checkpoint.unread == ()

    # Then
    assert places(objects) == [(0, 1), (0, 2)]


def test_a_pair_whose_table_is_damaged_is_known_by_its_tar(objects, tmp_path):
    # Given
    blobs = BlobStore(objects)
    shards = [[named(blobs, at, 0, pair_id="same")] for at in range(2)]
    write_shards(objects, tmp_path, shards)
    for key in list(objects.list("dataset/data/")):
        if key.endswith(".parquet"):
            objects.delete(key)

    # When
    Checkpointer(objects, "dataset").write(0)

    # Then
    assert places(objects) == [(0, 1)]


def test_a_sink_goes_on_where_no_checkpoint_can_be_written(objects, tmp_path, monkeypatch, caplog):
    # Given
    monkeypatch.setattr(checkpointer, "EVERY", 2)
    monkeypatch.setattr(Checkpointer, "write", lambda *_: (_ for _ in ()).throw(Retry("away")))
    shards = versions(BlobStore(objects), random.Random(8), 18)

    # When
    write_shards(objects, tmp_path, shards)

    # Then
    assert set(places(objects)) == latest(shards)
    assert "no checkpoint of partition 0 was written: away" in caplog.text
