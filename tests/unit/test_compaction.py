"""Compaction on a folder: what it merges, what it leaves out, and what it leaves alone."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from kaption.consumers import ShardOptions, ShardStream
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.merged import MergedManifests
from kaption.objectstore.dataset.objects import read_rows, read_samples
from kaption.objectstore.folder import FolderStore
from kaption.schemas import CleanPair, ImageRef, TakedownKind
from kaption.workers.compaction import Limits, find_orphans
from kaption.workers.stages.sink.stage import UNCOMMITTED_SHARDS
from support.compacting import LATER, compact, retire_all
from support.sink_records import (
    TOPIC,
    image_bytes,
    now,
    offsets_in,
    open_sink,
    orphans_in,
    run,
    stored,
)
from support.stream_records import named, pair_ids, take_down, write_chains, write_shards

pytestmark = pytest.mark.slow

URL = "https://cdn.example.org/dog.jpg"
NONE_SMALL = Limits(below=1, to=1, records=1)


@pytest.fixture
def objects(tmp_path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def blobs(objects) -> BlobStore:
    return BlobStore(objects)


def ranges(objects) -> list[tuple[int, int, int]]:
    return [(m.partition, m.start, m.end) for m in read_manifests(objects, "dataset")]


# What is merged


def test_small_shards_become_one_with_the_same_samples(objects, tmp_path):
    # Given shards of two partitions, with gaps in their offsets
    write_chains(objects, tmp_path, {0: [[0, 1], [4], [5, 7]], 2: [[3], [4]]})
    before = read_manifests(objects, "dataset")

    # When
    done = compact(objects)

    # Then each partition has one shard, whose manifest lists its parts
    assert (done.before, done.after, done.dropped) == (5, 2, {})
    assert ranges(objects) == [(0, 0, 8), (2, 0, 5)]
    assert offsets_in(objects) == [0, 1, 4, 5, 7, 3, 4]
    first = read_manifests(objects, "dataset")[0]
    assert (first.pairs, first.generation, first.parts) == (5, 1, (0, 2, 5))
    merged = dict(read_samples(objects, "dataset", first))
    assert merged == {
        key: sample for each in before[:3] for key, sample in read_samples(objects, "dataset", each)
    }
    assert merged["0-4"]["jpg"] == image_bytes(4)
    assert read_rows(objects, "dataset", first) == [
        row for each in before[:3] for row in read_rows(objects, "dataset", each)
    ]


def test_only_small_shards_are_merged_and_only_as_far_as_they_fit(objects, blobs, tmp_path):
    # Given tars of 10 KiB with one pair, and of 20 KiB with four
    sizes = [1, 1, 1, 4, 1, 1, 4, 1]
    starts = [sum(sizes[:place]) for place in range(len(sizes) + 1)]
    shards = [
        [stored(blobs, offset) for offset in range(start, start + size)]
        for start, size in zip(starts, sizes, strict=False)
    ]
    write_shards(objects, tmp_path, shards)

    # When merged by size, then by number of pairs
    compact(objects, Limits(below=15_000, to=25_000, records=100))
    assert ranges(objects) == [
        *[(0, 0, 2), (0, 2, 3), (0, 3, 7), (0, 7, 9), (0, 9, 13), (0, 13, 14)]
    ]
    compact(objects, Limits(below=1 << 20, to=1 << 30, records=6))

    # Then
    assert ranges(objects) == [(0, 0, 3), (0, 3, 9), (0, 9, 14)]
    assert offsets_in(objects) == list(range(14))


def test_a_merged_shard_is_merged_with_new_ones_and_then_left_alone(objects, tmp_path):
    # Given a merged shard, and small shards written after it
    write_chains(objects, tmp_path, {0: [[0], [1]]})
    compact(objects)
    write_chains(objects, tmp_path, {0: [[2], [3]]})

    # When
    compact(objects)
    everything = sorted(objects.list(""))
    done = compact(objects)

    # Then
    (manifest,) = read_manifests(objects, "dataset")
    assert (manifest.generation, manifest.parts) == (2, (0, 1, 2, 3))
    assert offsets_in(objects) == [0, 1, 2, 3]
    assert (done.before, sorted(objects.list(""))) == (0, everything)


def test_a_dry_run_counts_and_changes_nothing(objects, blobs, tmp_path):
    # Given
    shards = [[stored(blobs, 0, pair_id="same")], [stored(blobs, 1, pair_id="same", version=2)]]
    write_shards(objects, tmp_path, [*shards, [stored(blobs, 2)]])
    take_down(objects, TakedownKind.PAIR, "pair-2")
    everything = sorted(objects.list(""))

    # When
    done = compact(objects, dry=True)

    # Then
    assert sorted(objects.list("")) == everything
    again = compact(objects)
    assert (done.before, done.after, done.dropped) == (again.before, again.after, again.dropped)


# What is left out


def test_a_version_is_left_out_if_a_later_one_is_anywhere_in_the_partition(objects, tmp_path):
    # Given versions in small shards and in a large one, and an older version that came last
    blobs = BlobStore(objects)

    def version(offset, number, name="same"):
        return named(blobs, offset, 0, pair_id=name, version=number)

    large = [named(blobs, offset, 0) for offset in range(10, 30)]
    shards = [
        [version(0, 1), version(1, 1, "other")],
        [version(2, 2)],
        [*large, version(30, 4), version(31, 2, "other")],
        [version(32, 3)],
        [version(33, 1, "third")],
    ]
    write_shards(objects, tmp_path, shards)

    # When
    done = compact(objects, Limits(below=30_000, to=1 << 30, records=1000))

    # Then only the latest are in what was merged
    assert done.dropped == {"replaced": 4}
    assert offsets_in(objects) == [*range(10, 32), 33]
    assert ranges(objects) == [(0, 0, 3), (0, 3, 32), (0, 32, 34)]
    assert {(s.pair.pair_id, s.pair.version) for s in ShardStream(objects)} >= {
        *[("same", 4), ("other", 2), ("third", 1)]
    }


def test_a_large_shard_is_written_anew_without_what_is_taken_down(objects, tmp_path):
    # Given two large shards, one of which has a pair that is taken down
    write_chains(objects, tmp_path, {0: [list(range(20)), list(range(20, 40))]})
    take_down(objects, TakedownKind.PAIR, "0-5")

    # When
    done = compact(objects, NONE_SMALL)
    retire_all(objects)

    # Then no object holds it
    assert (done.before, done.after, done.dropped) == (1, 1, {"taken down": 1})
    assert offsets_in(objects) == [offset for offset in range(40) if offset != 5]
    assert all(b"0-5" not in objects.get(key) for key in objects.list("dataset/data/"))
    assert compact(objects, NONE_SMALL).before == 0


def test_an_older_version_does_not_come_back_when_its_successor_is_taken_down(objects, tmp_path):
    # Given an old version in a large shard, whose successor's image is taken down
    blobs = BlobStore(objects)
    old = [named(blobs, offset, 0) for offset in range(20)]
    new = named(blobs, 20, 0, pair_id="0-3", version=2)
    write_shards(objects, tmp_path, [old, [new]])
    take_down(objects, TakedownKind.SHA256, new.record.image.blob.sha256)
    left = sorted(pair_ids(ShardStream(objects)))
    assert "0-3" not in left

    # When
    compact(objects, NONE_SMALL)

    # Then
    assert sorted(pair_ids(ShardStream(objects))) == left
    assert sorted(pair_ids(ShardStream(objects, options=ShardOptions(latest=False)))) == left


def test_a_compactor_that_dies_between_two_shards_brings_no_version_back(
    objects, tmp_path, monkeypatch
):
    # Given a version that is taken down, and an older version in a later shard
    blobs = BlobStore(objects)
    new = named(blobs, 0, 0, pair_id="same", version=2)
    write_shards(objects, tmp_path, [[new], [named(blobs, 1, 0, pair_id="same")]])
    take_down(objects, TakedownKind.SHA256, new.record.image.blob.sha256)
    commit = MergedManifests.commit

    def commit_and_die(self, run, manifest):
        commit(self, run, manifest)
        raise KeyboardInterrupt

    # When compaction dies after the first of the two
    with monkeypatch.context() as patch:
        patch.setattr(MergedManifests, "commit", commit_and_die)
        with pytest.raises(KeyboardInterrupt):
            compact(objects, NONE_SMALL)

    # Then no version is given, neither now nor after the next compaction
    assert list(ShardStream(objects)) == []
    compact(objects)
    assert offsets_in(objects) == []


ADDRESSES: list[tuple[type, str]] = [
    (model, name) for model in (CleanPair, ImageRef) for name in model.model_fields if "url" in name
]
ADDRESSES.append((dict, "image_url"))


@pytest.mark.parametrize(("model", "name"), ADDRESSES)
@pytest.mark.parametrize(
    ("kind", "value"), [(TakedownKind.URL, URL), (TakedownKind.DOMAIN, "example.org")]
)
def test_a_table_has_every_address_that_takedowns_look_at(
    objects, blobs, tmp_path, model, name, kind, value
):
    # Given a large shard with a pair that only one of its addresses covers
    changed: dict[str, Any] = {name: URL}
    if model is ImageRef:
        changed = {"image": stored(blobs, 1).record.image.model_copy(update=changed)}
    elif model is dict:
        changed = {"extra": changed}
    write_shards(objects, tmp_path, [[stored(blobs, 0), stored(blobs, 1, 0, **changed)]])
    take_down(objects, kind, value)

    # When / Then
    assert compact(objects, NONE_SMALL).dropped == {"taken down": 1}
    assert offsets_in(objects) == [0]


def test_a_table_has_the_sha256_of_images_as_delivered(objects, blobs, tmp_path):
    image = stored(blobs, 1).record.image.model_copy(update={"original_sha256": "a" * 64})
    write_shards(objects, tmp_path, [[stored(blobs, 0), stored(blobs, 1, image=image)]])
    take_down(objects, TakedownKind.SHA256, "a" * 64)
    assert compact(objects, NONE_SMALL).dropped == {"taken down": 1}
    assert offsets_in(objects) == [0]


def test_a_merged_shard_may_be_empty(objects, tmp_path):
    write_chains(objects, tmp_path, {0: [[0], [1]]})
    take_down(objects, TakedownKind.PAIR, "0-0")
    take_down(objects, TakedownKind.PAIR, "0-1")
    compact(objects)
    assert ranges(objects) == [(0, 0, 2)]
    assert offsets_in(objects) == []
    assert list(ShardStream(objects)) == []


# What is left alone


@pytest.mark.parametrize("ending", ["tar", "parquet"])
@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_damaged_shard_is_left_as_it_is_and_reported(objects, tmp_path, ending, how):
    # Given
    write_chains(objects, tmp_path, {0: [[0], [1], [2], [3], [4]]})
    key = next(
        f"dataset/{entry.key}"
        for entry in read_manifests(objects, "dataset")[2].objects
        if entry.key.endswith(ending)
    )
    data = objects.get(key)
    objects.delete(key)
    if how == "changed":
        objects.put(key, data[:10] + b"x" + data[11:])

    # When
    done = compact(objects)

    # Then a shard with a damaged tar is left, and a damaged table is written anew
    if ending == "tar":
        assert ranges(objects) == [(0, 0, 2), (0, 2, 3), (0, 3, 5)]
        assert [key.removeprefix("dataset/") in each for each in done.damaged] == [True]
    else:
        assert ranges(objects) == [(0, 0, 5)]
        assert offsets_in(objects) == [0, 1, 2, 3, 4]


def test_one_of_several_racing_compactors_merges_each_run(objects, tmp_path, monkeypatch):
    # Given four compactors that have all written their merged shards before any commits
    write_chains(objects, tmp_path, {0: [[0], [1], [2], [3]]})
    together, commit = threading.Barrier(4), MergedManifests.commit

    def at_once(self, run, manifest):
        together.wait()
        return commit(self, run, manifest)

    monkeypatch.setattr(MergedManifests, "commit", at_once)

    # When
    done = []
    threads = [
        threading.Thread(target=lambda n=n: done.append(compact(objects, writer=f"c{n}")))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # Then the others have left no objects
    assert sorted(each.before for each in done) == [0, 0, 0, 4]
    assert offsets_in(objects) == [0, 1, 2, 3]
    retire_all(objects)
    assert len(list(objects.list("dataset/merged/"))) == 1
    assert len(orphans_in(objects)) == 2  # those of the sink's last shard


# What is removed, and when


def test_merged_shards_stay_for_the_grace_and_the_sink_s_last_one_longer(objects, tmp_path):
    # Given
    write_chains(objects, tmp_path, {0: [[0], [1], [2]]})
    compact(objects)
    everything = sorted(objects.list("dataset/"))

    # When retired before the grace has passed
    assert retire_all(objects, now() - timedelta(seconds=1)) == 0
    assert sorted(objects.list("dataset/")) == everything

    # and after it
    assert retire_all(objects, now()) == 2

    # Then
    starts = [int(key[-25:-5]) for key in objects.list("dataset/manifest/")]
    assert (starts, len(list(objects.list("dataset/data/")))) == ([2], 4)
    assert offsets_in(objects) == [0, 1, 2]
    assert retire_all(objects) == 0


def test_a_late_sink_continues_after_shards_that_were_merged_and_removed(objects, blobs, tmp_path):
    # Given a sink that knows only the first shard, and later shards that were merged and removed
    late = open_sink(objects, tmp_path, "late")
    late.resume(TOPIC, 0, 0)
    messages = [stored(blobs, offset) for offset in range(8)]
    run(late, messages[:1])
    prepared = [(message, late.prepare(message)) for message in messages[1:7]]
    other = open_sink(objects, tmp_path, "other")
    other.resume(TOPIC, 0, 1)
    for message in messages[1:5]:
        run(other, [message])
    compact(objects)
    retire_all(objects)

    # When it writes where a manifest was removed, and past the end of the merged shard
    late.process(prepared)

    # Then it wrote only the rest at the end of the chain, and left no manifest where it began
    assert offsets_in(objects) == list(range(7))
    assert ranges(objects) == [(0, 0, 5), (0, 5, 7)]
    retire_all(objects)
    third = open_sink(objects, tmp_path, "third")
    assert third.resume(TOPIC, 0, 0) == 0
    run(third, messages)
    assert offsets_in(objects) == list(range(8))


def test_a_sink_that_died_where_a_manifest_was_removed_does_not_mislead_the_next(
    objects, blobs, tmp_path, monkeypatch
):
    # Given the same, but the late sink dies before it looks at the floor
    late = open_sink(objects, tmp_path, "late")
    late.resume(TOPIC, 0, 0)
    messages = [stored(blobs, offset) for offset in range(8)]
    prepared = [(message, late.prepare(message)) for message in messages[:6]]
    other = open_sink(objects, tmp_path, "other")
    other.resume(TOPIC, 0, 0)
    for message in messages[:4]:
        run(other, [message])
    compact(objects)
    retire_all(objects)
    with monkeypatch.context() as patch:
        patch.setattr(late._writer._chain, "floor", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            late.process(prepared)
    assert len(list(objects.list("dataset/manifest/"))) == 2

    # When it is tried again with one more record
    prepared = [(message, late.prepare(message)) for message in messages[:7]]
    late.process(prepared)

    # Then
    assert offsets_in(objects) == list(range(7))
    retire_all(objects)
    assert offsets_in(objects) == list(range(7))


@pytest.mark.parametrize(("shards", "lost"), [(0, False), (1, True)])
def test_merged_and_removed_shards_count_when_offsets_are_lost(objects, tmp_path, shards, lost):
    # Given as many shards as a crash can leave uncommitted, or one more
    end = UNCOMMITTED_SHARDS + shards
    write_chains(objects, tmp_path, {0: [[offset] for offset in range(end)]})
    compact(objects)
    retire_all(objects)

    # When / Then
    assert open_sink(objects, tmp_path, "w2").resume(TOPIC, 0, 0) == (end if lost else 0)


# Orphans


def test_old_data_objects_that_no_manifest_names_are_orphans(objects, blobs, tmp_path):
    # Given merged shards, the shards that they replaced, and an object of a writer that died
    write_chains(objects, tmp_path, {0: [[0], [1]]})
    compact(objects)
    left = "dataset/data/00000/left-behind.tar"
    objects.put(left, b"x")

    # When / Then
    written = objects.written_at(left)
    assert find_orphans(objects, "dataset", written - timedelta(seconds=1)) == []
    assert find_orphans(objects, "dataset", LATER) == [left]
