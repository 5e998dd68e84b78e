"""When merged shards are removed, and sinks that come late to them."""

from datetime import timedelta

import pytest

from kaption.schemas import TakedownKind
from kaption.workers.compaction import find_orphans
from kaption.workers.stages.sink.stage import UNCOMMITTED_SHARDS
from support.compacting import LATER, compact, ranges, retire_all
from support.sink_records import TOPIC, now, offsets_in, open_sink, run, stored
from support.stream_records import take_down, write_chains

pytestmark = pytest.mark.slow


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
    assert (starts, len(list(objects.list("dataset/data/")))) == ([2], 6)
    assert offsets_in(objects) == [0, 1, 2]
    assert retire_all(objects) == 0


def test_a_takedown_removes_the_data_of_the_sink_s_last_shard_after_it_was_merged(
    objects, blobs, tmp_path
):
    # Given a last shard that was merged, whose manifest stays
    write_chains(objects, tmp_path, {0: [[0], [1]]})
    compact(objects)
    retire_all(objects)
    assert len(list(objects.list("dataset/data/"))) == 3 + 3

    # When its pair is taken down
    take_down(objects, TakedownKind.PAIR, "0-1")
    compact(objects)
    retire_all(objects)

    # Then only the shard without it has data, and the sink goes on
    assert len(list(objects.list("dataset/data/"))) == 3
    assert list(objects.list("dataset/manifest/"))
    sink = open_sink(objects, tmp_path, "next")
    assert sink.resume(TOPIC, 0, 0) == 0
    run(sink, [stored(blobs, offset) for offset in range(4)])
    assert offsets_in(objects) == [0, 2, 3]


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


@pytest.mark.parametrize(
    "left",
    [
        "dataset/data/00000/left-behind.tar",
        "dataset/data/00000/00000000000000000000-00000000000000000002-dead-0.tar",
        "dataset/data/00000/00000000000000000002-00000000000000000003-dead-0.tar",
        "dataset/data/00000/00000000000000000000-00000000000000000001-dead-0.parquet",
        "dataset/pairs/00000/00000000000000000000-00000000000000000002-left.parquet",
        "dataset/versions/00003/00000000000000000002-left.parquet",
        "dataset/rules/00000/00000000000000000000-00000000000000000002-9-left.parquet",
    ],
)
def test_old_objects_that_nothing_names_are_orphans(objects, blobs, tmp_path, left):
    # Given merged shards, those that they replaced, checkpoints, and an object of a dead writer
    write_chains(objects, tmp_path, {0: [[0], [1]]})
    compact(objects)
    assert list(objects.list("dataset/pairs/"))
    objects.put(left, b"x")

    # When / Then
    written = objects.written_at(left)
    assert find_orphans(objects, "dataset", written - timedelta(seconds=1)) == []
    assert find_orphans(objects, "dataset", LATER) == [left]
