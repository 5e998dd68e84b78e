"""Compaction on a folder: what it merges, and what it leaves alone."""

import threading

import pytest

from kaption.consumers import ShardStream
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.merged import MergedManifests
from kaption.objectstore.dataset.objects import read_rows, read_samples
from kaption.schemas import TakedownKind
from kaption.workers.compaction import Limits
from support.compacting import compact, ranges, retire_all
from support.sink_records import image_bytes, offsets_in, orphans_in, stored
from support.stream_records import take_down, write_chains, write_shards

pytestmark = pytest.mark.slow


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


def test_a_merged_shard_may_be_empty(objects, tmp_path):
    write_chains(objects, tmp_path, {0: [[0], [1]]})
    take_down(objects, TakedownKind.PAIR, "0-0")
    take_down(objects, TakedownKind.PAIR, "0-1")
    compact(objects)
    assert ranges(objects) == [(0, 0, 2)]
    assert offsets_in(objects) == []
    assert list(ShardStream(objects)) == []


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
    assert len(orphans_in(objects)) == 3  # those of the sink's last shard
